import { SIG } from "../../linux/call/constants";
import type { Fd } from "../../linux/call/fd";
import { openProcess, processStatus, setParentDeathSignal } from "../../linux/process/process";

/**
 * The process that started this one, as a lifeline of its container (pidfd_open(2)): whichever of its threads did it. undefined where that has no
 * number here, being outside of this pid namespace, or has ended.
 */
export function openParent(): Fd | undefined {
  const parent = parentOfThis();
  const startTime = processStatus(parent)?.startTime;
  const opened = startTime === undefined ? undefined : openProcess(parent, startTime);
  // else it ended before it was opened, and the number may be another's
  if (parentOfThis() === parent) return opened;
  opened?.close();
  return undefined;
}

/**
 * Tells when the process that started this one has ended, where that can't be opened. The kernel's signal comes at the end of the *thread* that did
 * (PR_SET_PDEATHSIG(2const)): it is one that does nothing by itself, and the parent is looked at then.
 */
export class ParentWatch implements Disposable {
  readonly #parent = parentOfThis();
  #end: (() => void) | undefined;
  readonly #look = () => {
    // a parent outside of this pid namespace has no number
    if (this.#parent !== 0 && parentOfThis() === this.#parent) return;
    this.#end?.();
    this.#end = undefined;
  };

  /** Calls `end` once: at the end of who was the parent when this was made, or at once if that end has come meanwhile. */
  onEnd(end: () => void): void {
    this.#end = end;
    process.on("SIGURG", this.#look);
    setParentDeathSignal(SIG.URG);
    if (this.#parent !== 0) this.#look();
  }

  [Symbol.dispose](): void {
    setParentDeathSignal(0);
    process.off("SIGURG", this.#look);
  }
}

function parentOfThis(): number {
  return processStatus(process.pid)?.parent ?? 0;
}
