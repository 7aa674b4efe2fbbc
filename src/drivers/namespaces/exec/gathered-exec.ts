import { SIG } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import { linkText, listNames, readText } from "../../../linux/file/file";
import { namespaceName, visibleNamespace } from "../../../linux/process/namespace";
import {
  aliveProcess,
  isExiting,
  openPid,
  processStatus,
  signalOpened,
} from "../../../linux/process/process";
import { logWarning } from "../../../output/log";
import type { ProcessRecord } from "../../../state/record";
import { ExecutedProcess } from "../../interface/executed-process";

/** How long those are killed that are there, in milliseconds: some may fork meanwhile. */
const KILLING_MS = 5000;
/** So many looks in a row that find nobody mean that nobody is left. */
const LOOKS = 60;
/** The numbers of processes that such a look is at, counted from the last one that the kernel has given. */
const NEWEST = [2, 1, 0, -1, -2, -3, -4, -5, -6];
/** No file has such a name, as names of files begin with "/". */
const UTS_NAMESPACE = /^uts:\[\d+\]$/;

/** One in a namespace by which all that it starts is found (`GATHERING`). */
export class GatheredExec extends ExecutedProcess {
  /** Held, or the kernel might give its number to another one. */
  readonly #namespace: Fd | undefined;
  readonly #init: ProcessRecord;
  /** undefined: nothing but the process group is found. */
  #name: string | undefined;

  /**
   * Owns the namespace, which was taken before the program runs: with CAP_SYS_ADMIN it may have another one at once. `init` is the container's
   * first process.
   */
  constructor(started: ProcessRecord, namespace: Fd | undefined, init: ProcessRecord) {
    super(started);
    this.#namespace = namespace;
    this.#init = init;
    const name = namespace && linkText(namespace.path);
    const others = [namespaceName("self", "uts"), visibleNamespace(init.pid, "uts")];
    if (name === undefined) warnOfGroup("the namespace by which the rest is found could not be opened");
    else if (!UTS_NAMESPACE.test(name) || others.includes(name))
      warnOfGroup("the namespace by which the rest is found is not the command's own");
    else this.#name = name;
  }

  /** For when the program runs. What may not be seen of that may not be seen of what it starts. */
  warnIfHidden(): void {
    const { pid, startTime } = this;
    if (this.#name === undefined || visibleNamespace(pid, "uts") !== undefined) return;
    if (!isExiting(pid, startTime)) warnOfGroup("the rest can't be seen without CAP_SYS_PTRACE over it");
  }

  override signalAll(signal: number): void {
    const { leads } = this;
    super.signalAll(signal);
    if (this.#name === undefined) return;
    const spared = this.#spared();
    if (signal === SIG.KILL) this.#killAll(spared);
    else
      for (const pid of this.#members(allProcesses(), spared))
        if (!leads || processStatus(pid)?.group !== this.pid) this.#signal(pid, signal);
  }

  /**
   * One that forks and ends, again and again, is gone before a list of all is read to its end. So each is killed when it is seen, the newest
   * first, and these are looked at alone when no others are left.
   */
  #killAll(spared: readonly number[]): void {
    const end = performance.now() + KILLING_MS;
    for (let nobody = 0; nobody < LOOKS; nobody++) {
      if (performance.now() > end) {
        warnOfLeft([...this.#members(allProcesses(), spared)]);
        return;
      }
      for (const pid of this.#members(nobody === 0 ? allProcesses() : newestProcesses(), spared)) {
        nobody = -1;
        this.#signal(pid, SIG.KILL);
      }
    }
  }

  /** What has this number when it is opened is looked at once more. */
  #signal(pid: number, signal: number): void {
    using process = openPid(pid);
    if (process !== undefined && visibleNamespace(pid, "uts") === this.#name) signalOpened(process, signal);
  }

  *#members(pids: readonly number[], spared: readonly number[]): Generator<number> {
    for (const pid of pids)
      if (visibleNamespace(pid, "uts") === this.#name && !spared.includes(pid)) yield pid;
  }

  /** Who is not ended, whatever namespace that is in: the container's first process, the one that attends it, and this one. */
  #spared(): number[] {
    const { pid, startTime } = this.#init;
    const init = aliveProcess(pid, startTime);
    return init === undefined ? [process.pid] : [process.pid, pid, init.parent];
  }

  override [Symbol.dispose](): void {
    this.#namespace?.close();
  }
}

function warnOfGroup(why: string): void {
  logWarning(`exec: of what the command starts only its process group can be ended: ${why}`);
}

function warnOfLeft(pids: readonly number[]): void {
  const which = pids.length === 0 ? "" : `: process ${pids.join(", ")}`;
  logWarning(`exec: not all that the command has started has ended within ${KILLING_MS / 1000} s${which}`);
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
