import { F } from "../call/constants";
import type { Fd } from "../call/fd";
import { trySyscall } from "../call/syscall";
import { hasErrno } from "../file/file";
import { Pipe } from "../file/pipe";

/** How many pipes there are at most: what is in them is kernel memory that no limit of a container's counts. */
const MOST = 1024;
/** How many are kept when nobody needs them. */
const KEPT = 32;
/**
 * How many are large: they take a quarter off the processor time of a long transfer. A user whose pipes have more than 64 MiB in all gets tiny ones from
 * then on, in all programs (pipe(7), pipe-user-pages-soft).
 */
const LARGE = 4;
export const LARGE_PIPE = 1 << 20;

/** Empty pipes for splice(2): a descriptor's bytes get to another one through a pipe, which is needed only as long as they are in it. */
export class PipePool implements Disposable {
  readonly #waiting: (() => void)[] = [];
  readonly #large = new Set<Pipe>();
  #count = 0;
  /** There is always one that somebody will give back. */
  readonly #idle = [this.#make()];

  /** An empty pipe; undefined where there is none now. */
  take(): Pipe | undefined {
    return this.#idle.pop() ?? this.#another();
  }

  /** Calls `again` when there is an empty pipe. */
  waitFor(again: () => void): void {
    this.#waiting.push(again);
  }

  #make(): Pipe {
    const pipe = new Pipe("relay", true);
    // one that stays small is slower, no more
    if (this.#large.size < LARGE && trySyscall("fcntl", pipe.write.number, F.SETPIPE_SZ, LARGE_PIPE) >= 0)
      this.#large.add(pipe);
    this.#count++;
    return pipe;
  }

  /** undefined where there are enough, or no more descriptors are to be had. */
  #another(): Pipe | undefined {
    try {
      return this.#count < MOST ? this.#make() : undefined;
    } catch (error) {
      if (!hasErrno(error, "EMFILE", "ENFILE")) throw error;
      return undefined;
    }
  }

  /** Takes a pipe back, which may have something in it. */
  give(pipe: Pipe, isEmpty: boolean): void {
    // the last one is taken first
    if (isEmpty && this.#large.has(pipe)) this.#idle.push(pipe);
    else if (isEmpty && this.#idle.length < KEPT) this.#idle.unshift(pipe);
    else {
      pipe[Symbol.dispose]();
      this.#large.delete(pipe);
      this.#count--;
    }
    this.passOn();
  }

  /** There is a pipe for the next who waits for one: who was called needs it no more. */
  passOn(): void {
    this.#waiting.shift()?.();
  }

  [Symbol.dispose](): void {
    for (const pipe of this.#idle.splice(0)) pipe[Symbol.dispose]();
  }
}

/** SPLICE_F_MOVE and SPLICE_F_NONBLOCK (splice(2)). */
const SPLICE_FLAGS = 1 | 2;

/** Moves bytes into a pipe or out of it, without waiting: how many; 0 at the end; or -errno. */
export function splice(from: Fd, to: Fd, most: number): number {
  return trySyscall("splice", from.number, null, to.number, null, most, SPLICE_FLAGS);
}
