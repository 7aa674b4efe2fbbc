import { trySyscall } from "./syscall";

/** A file descriptor with one owner, who closes it: `using fd = …`. */
export class Fd {
  #number: number;

  /** `name` is what errors call it: the path that it was opened at. */
  constructor(
    number: number,
    readonly name?: string,
  ) {
    this.#number = number;
  }

  /** The number; using it after `close` is an error of the programmer. */
  get number(): number {
    if (this.#number < 0) throw new Error("file descriptor used after close");
    return this.#number;
  }

  /** Its path in procfs, for calls that take only paths. */
  get path(): string {
    return `/proc/self/fd/${this.number}`;
  }

  /** Gives up ownership: the caller now closes the number. */
  release(): number {
    const number = this.number;
    this.#number = -1;
    return number;
  }

  close(): void {
    if (this.#number < 0) return;
    // Linux closes the descriptor whatever close() returns (close(2), "Dealing with error returns").
    trySyscall("close", this.#number);
    this.#number = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Several descriptors with one owner. */
export class FdList {
  readonly all: Fd[] = [];

  add(fd: Fd): void {
    this.all.push(fd);
  }

  [Symbol.dispose](): void {
    for (const fd of this.all) fd.close();
  }
}
