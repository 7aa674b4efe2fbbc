import { SIG } from "../../linux/call/constants";
import type { Step } from "../../linux/call/step";
import { endWithParentSteps, reapChild } from "../../linux/process/process";
import { cloneChild, Reports } from "../../linux/steps/clone-child";

/**
 * A process that does nothing but keep a scope alive: systemd starts no scope without a process, and the container's own joins late, so that
 * limits don't hold for hako's start-up. The keeper ends with this process, and a scope in which it was alone ends with the keeper.
 */
export class Keeper implements Disposable {
  readonly pid: number;
  #ended = false;

  constructor() {
    const steps: Step[] = [
      ...endWithParentSteps("getppid"),
      { what: "close_range", call: "close_range", args: [0, 0xffffffff, 0] },
      { what: "ppoll", call: "ppoll", args: [0, 0, 0, 0, 8] },
    ];
    using reports = new Reports(steps);
    const plan = { flags: 0, cgroup: undefined, join: [], waitsForNothing: false };
    this.pid = cloneChild({ ...plan, steps }, reports);
  }

  [Symbol.dispose](): void {
    if (this.#ended) return;
    this.#ended = true;
    process.kill(this.pid, SIG.KILL);
    reapChild(this.pid, true);
  }
}
