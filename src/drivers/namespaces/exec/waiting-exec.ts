import type { Fd } from "../../../linux/call/fd";
import { recvByte } from "../../../linux/file/descriptor-passing";
import { hasErrno } from "../../../linux/file/file";
import { waitFor } from "../../../linux/file/poll";
import { writeAllWaiting } from "../../../linux/file/stream";
import { isListener } from "../../../linux/process/filter-steps";
import { hasExecuted, reapChild } from "../../../linux/process/process";
import { failureAt } from "../../../linux/remote/failed-step";
import { forged, silence } from "../../../linux/remote/remote-answers";
import type { Process } from "../../../oci/config";
import type { Attendance } from "../../interface/driver";
import type { BornProcess } from "../birth/born-process";
import { STAGE_NAME } from "../birth/stage-name";
import type { ExecEnd, ExecShared } from "./exec-steps";

/** Loaded on first use. */
const rare = {
  get attendedExec() {
    return require("./attended-exec") as typeof import("./attended-exec");
  },
  get explainDeath() {
    return require("../../../explain/death") as typeof import("../../../explain/death");
  },
};

/** How long it may take to execute its program: others in the container may keep it from that. */
const EXECUTION_MS = 60_000;

/** A process in a container that waits to execute its program; killed with its owner's end unless it was released. */
export class WaitingExec implements Disposable {
  constructor(
    private readonly process: BornProcess,
    private readonly shared: ExecShared,
    private readonly end: ExecEnd,
  ) {}

  get pid(): number {
    return this.process.pid;
  }

  get startTime(): number {
    return this.process.startTime;
  }

  /** The namespace by which all that it starts is found (`ExecPlan.gathers`), if it has been sent; before `release`. */
  takeNamespace(): Fd | undefined {
    const { channel } = this.shared;
    return waitFor(channel, "read", 0) ? recvByte(channel).fd : undefined;
  }

  /** Lets it execute its program; throws when it can't. `listener` gets the listener of its filter. */
  release(listener: (fd: Fd) => void): void {
    const { channel, range } = this.shared;
    const { program, steps, filter } = this.end;
    const waits = this.#letGo();
    if (filter === "listens") this.#passListener(listener);
    if (!waitFor(channel, "read", EXECUTION_MS)) throw silence();
    const failed = failureAt(range, this.process.remote.prepared);
    if (failed !== undefined) throw program.failure(steps, failed);
    if (filter !== undefined || !waits) this.#checkExecution();
    this.process.release();
    this.#close();
  }

  /** Leaves it to an attendant, which takes the place of this process. Comes back only by throwing. */
  leave(attendance: Attendance, specified: Process): never {
    this.process.reapFormer();
    return rare.attendedExec.leaveExec(this.process, this.shared, this.end, attendance, specified);
  }

  /** false when it has ended: somebody has killed it. */
  #letGo(): boolean {
    try {
      writeAllWaiting(this.shared.channel, new Uint8Array(1));
      return true;
    } catch (error) {
      if (hasErrno(error, "EPIPE")) return false;
      throw error;
    }
  }

  #passListener(listener: (fd: Fd) => void): void {
    const fd = this.#received();
    // it has failed before, and left word of it
    if (fd === undefined) return;
    using owned = fd;
    listener(owned);
    writeAllWaiting(this.shared.channel, new Uint8Array(1));
  }

  #received(): Fd | undefined {
    try {
      if (!waitFor(this.shared.channel, "read", EXECUTION_MS)) throw silence();
      const { fd } = recvByte(this.shared.channel);
      if (fd !== undefined && !isListener(fd)) throw forged("its filter's listener is something else");
      return fd;
    } catch (error) {
      // it ended without having read what it was sent
      if (hasErrno(error, "ECONNRESET")) return undefined;
      throw error;
    }
  }

  /** A filter may kill one whose execution has failed before it can say so. */
  #checkExecution(): void {
    if (!hasExecuted(this.pid, this.startTime, STAGE_NAME))
      throw diedBefore(reapChild(this.pid, true)?.signal);
  }

  #close(): void {
    this.shared.channel.close();
    this.shared.range[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.process[Symbol.dispose]();
    this.#close();
  }
}

/** The error of a process that a signal has ended before it executed its program. */
export function diedBefore(signal: number | undefined): Error {
  return rare.explainDeath.deathError("the process died before it could execute the program", {
    signal,
    cgroup: undefined,
  });
}
