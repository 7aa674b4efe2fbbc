import { Reports } from "../linux/clone";
import type { Fd } from "../linux/fd";
import { hasErrno } from "../linux/file";
import { Pipe } from "../linux/pipe";
import { hasExecuted, reapChild, signalProcess } from "../linux/process";
import { recvByte, socketPair, writeAll } from "../linux/socket";
import type { Step } from "../linux/steps";
import type { ProgramOutside } from "./program-outside";
import { STAGE_NAME } from "./stage-name";

const SIGKILL = 9;

/** What an exec's process and its maker have in common. */
export class ExecChannels implements Disposable {
  /** Where it waits for a byte. */
  readonly go = new Pipe("pipe to the program's process");
  readonly reports = new Reports([]);
  /** The way of the listener of its seccomp filter: our end, and its own. */
  readonly listener: readonly [ours: Fd, theirs: Fd] | undefined;

  constructor(listens: boolean) {
    this.listener = listens ? socketPair("socket for the seccomp listener") : undefined;
  }

  /** Closes the ends that are the process's, which alone has them now. */
  handOver(): void {
    this.go.read.close();
    this.listener?.[1].close();
  }

  [Symbol.dispose](): void {
    this.go[Symbol.dispose]();
    this.reports[Symbol.dispose]();
    for (const end of this.listener ?? []) end.close();
  }
}

/** A process in a container that waits to execute its program; killed with its owner's end unless it was released. */
export class ExecProcess implements Disposable {
  #released = false;

  constructor(
    readonly pid: number,
    readonly startTime: number,
    private readonly channels: ExecChannels,
    private readonly program: ProgramOutside,
    private readonly steps: readonly Step[],
    private readonly filtered: boolean,
  ) {}

  /** Lets it execute its program; throws when it can't. `listener` gets the listener of its filter. */
  release(listener: (fd: Fd) => void): void {
    const waits = this.#letGo();
    this.#passListener(listener);
    const failed = this.channels.reports.last();
    if (failed !== undefined) throw this.program.failure(this.steps, failed);
    if (this.filtered || !waits) this.#checkExecution();
    this.#released = true;
    this.channels[Symbol.dispose]();
  }

  /** false when it has ended: somebody has killed it. */
  #letGo(): boolean {
    try {
      writeAll(this.channels.go.write, new Uint8Array(1));
      return true;
    } catch (error) {
      if (hasErrno(error, "EPIPE")) return false;
      throw error;
    }
  }

  #passListener(listener: (fd: Fd) => void): void {
    const [socket] = this.channels.listener ?? [];
    if (socket === undefined) return;
    const { fd } = recvByte(socket);
    // it has failed before, and said so
    if (fd === undefined) return;
    using owned = fd;
    listener(owned);
    writeAll(socket, new Uint8Array(1));
  }

  /** A filter may kill one whose execution has failed before it can say so. */
  #checkExecution(): void {
    if (hasExecuted(this.pid, this.startTime, STAGE_NAME)) return;
    const { deathError } = require("../explain/death") as typeof import("../explain/death");
    const end = { signal: reapChild(this.pid, true)?.signal, cgroup: undefined };
    throw deathError("the process died before it could execute the program", end);
  }

  [Symbol.dispose](): void {
    if (this.#released) return;
    signalProcess(this.pid, this.startTime, SIGKILL);
    this.channels[Symbol.dispose]();
    reapChild(this.pid, true);
  }
}
