import { isChild, signalGroupOf } from "../../linux/process/process";
import type { ProcessRecord } from "../../state/record";

/** A further process of a container, or what stands for it: a child of this one, which leads a process group. */
export class ExecutedProcess implements ProcessRecord, Disposable {
  readonly pid: number;
  readonly startTime: number;

  constructor({ pid, startTime }: ProcessRecord) {
    this.pid = pid;
    this.startTime = startTime;
  }

  /** The number of one that was reaped may be another group's. */
  protected get leads(): boolean {
    return isChild(this.pid);
  }

  /** Sends a signal to its process group; with `ExecPlan.gathers` to all that it has started, which may have outlived it. */
  signalAll(signal: number): void {
    if (this.leads) signalGroupOf(this.pid, signal);
  }

  [Symbol.dispose](): void {}
}
