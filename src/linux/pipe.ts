import { Fd } from "./fd";
import { syscall } from "./syscall";

const O_CLOEXEC = 0o2000000;

/** Both ends of a pipe, close-on-exec (pipe(7)). */
export class Pipe implements Disposable {
  readonly read: Fd;
  readonly write: Fd;

  constructor() {
    const pair = new Int32Array(2);
    syscall("pipe2", pair, O_CLOEXEC);
    this.read = new Fd(pair[0] ?? -1);
    this.write = new Fd(pair[1] ?? -1);
  }

  [Symbol.dispose](): void {
    this.read.close();
    this.write.close();
  }
}
