import { O } from "../call/constants";
import { Fd } from "../call/fd";
import { syscallOn } from "../call/syscall";

/** Both ends of a pipe, close-on-exec (pipe(7)). */
export class Pipe implements Disposable {
  readonly read: Fd;
  readonly write: Fd;

  /** Errors call it by `name`; with `nonblocking` neither end ever waits. */
  constructor(name: string, nonblocking = false) {
    const pair = new Int32Array(2);
    syscallOn(name, "pipe2", pair, O.CLOEXEC | (nonblocking ? O.NONBLOCK : 0));
    this.read = new Fd(pair[0] ?? -1, name);
    this.write = new Fd(pair[1] ?? -1, name);
  }

  [Symbol.dispose](): void {
    this.read.close();
    this.write.close();
  }
}
