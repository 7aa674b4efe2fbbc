import { during } from "../base/errors";
import type { Fd } from "../linux/call/fd";
import { writeAllWaiting } from "../linux/file/stream";
import type { NetworkAttempt } from "./attempts";

/** Where `--network-log FILE|FD` writes: one line of JSON for each attempt. */
export class AttemptLog implements Disposable {
  constructor(
    private readonly file: Fd,
    private readonly target: string,
  ) {}

  write(attempt: NetworkAttempt): void {
    during(`--network-log ${this.target}`, () => writeAllWaiting(this.file, `${JSON.stringify(attempt)}\n`));
  }

  [Symbol.dispose](): void {
    this.file.close();
  }
}
