import { SIG } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import { hasErrno, listNames, readText } from "../../../linux/file/file";
import { NAMESPACE_FILES, openNamespace, visibleNamespace } from "../../../linux/process/namespace";
import { openPid, processStatus, signalOpened } from "../../../linux/process/process";
import type { ProcessRecord } from "../../../state/record";
import { ExecutedProcess } from "../../interface/executed-process";

/** How long those are killed that are there, in milliseconds: some may fork meanwhile. */
const KILLING_MS = 5000;
/** After so many looks at the newest processes that find nobody there is nobody, and how many numbers these have around the last one. */
const [LOOKS, NEWEST] = [60, [2, 1, 0, -1, -2, -3, -4, -5, -6]];

/** One that has executed its program, in a namespace by which all that it starts is found (`GATHERING`). */
export class GatheredExec extends ExecutedProcess {
  /** Held, or the kernel might give its number to another one. undefined where this process may not look, or the other one has ended. */
  readonly #namespace: Fd | undefined;
  readonly #name: string | undefined;

  constructor(started: ProcessRecord) {
    super(started);
    this.#namespace = opened(this.pid);
    if (this.#namespace !== undefined) this.#name = visibleNamespace(this.pid, "uts");
  }

  override signalAll(signal: number): void {
    const { leads } = this;
    super.signalAll(signal);
    if (this.#name === undefined) return;
    if (signal === SIG.KILL) this.#killAll();
    else
      for (const pid of this.#members(allProcesses()))
        if (!leads || processStatus(pid)?.group !== this.pid) this.#signal(pid, signal);
  }

  /**
   * One that forks and ends, again and again, is gone before a list of all is read to its end. So each is killed when it is seen, the newest
   * first, and these are looked at alone when no others are left.
   */
  #killAll(): void {
    const end = performance.now() + KILLING_MS;
    for (let nobody = 0; nobody < LOOKS && performance.now() < end; nobody++)
      for (const pid of this.#members(nobody === 0 ? allProcesses() : newestProcesses())) {
        nobody = -1;
        this.#signal(pid, SIG.KILL);
      }
  }

  /** What has this number when it is opened is looked at once more. */
  #signal(pid: number, signal: number): void {
    using process = openPid(pid);
    if (process !== undefined && visibleNamespace(pid, "uts") === this.#name) signalOpened(process, signal);
  }

  *#members(pids: readonly number[]): Generator<number> {
    for (const pid of pids) if (visibleNamespace(pid, "uts") === this.#name) yield pid;
  }

  override [Symbol.dispose](): void {
    this.#namespace?.close();
  }
}

function allProcesses(): number[] {
  const pids = listNames("/proc").map(Number);
  return pids.filter((pid) => pid > 0).sort((a, b) => b - a);
}

/** The numbers around the one that the kernel has given last (proc(5), /proc/loadavg). */
function newestProcesses(): number[] {
  const last = Number(readText("/proc/loadavg").trim().split(" ").at(-1));
  return NEWEST.map((offset) => last + offset);
}

function opened(pid: number): Fd | undefined {
  try {
    return openNamespace(`/proc/${pid}/ns/${NAMESPACE_FILES.uts}`);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESRCH", "EACCES", "EPERM")) return undefined;
    throw error;
  }
}
