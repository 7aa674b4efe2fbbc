import { errnoName } from "../../base/errno";
import { PR, SIG, W } from "../call/constants";
import { Fd } from "../call/fd";
import type { Step } from "../call/step";
import { syscallOn, systemError, trySyscall } from "../call/syscall";
import { perform } from "../call/walk";
import { hasErrno, readText } from "../file/file";
import { waitFor } from "../file/poll";

const P_ALL = 0;
const P_PID = 1;
const P_PIDFD = 3;
/** How often a process that says nothing is looked at. */
const LOOK_MS = 200;
/** In the flags of proc_pid_stat(5): the process is in exit(2), which takes its namespaces from it (include/linux/sched.h). */
const PF_EXITING = 0x4;

/** What /proc/PID/stat says (proc_pid_stat(5)). */
export interface ProcessStatus {
  name: string;
  /** R, S, D, Z, X, T … */
  state: string;
  parent: number;
  /** Its process group. */
  group: number;
  /** PF_*. */
  flags: number;
  /** In clock ticks since boot: with the pid it names one process for ever. */
  startTime: number;
  /** How a zombie ended, as wait4(2) would say it; 0 of others, and where this process may not know. */
  ending: number;
}

/** What procfs has of a process; undefined when there is no such process. */
function processFile(pid: number, name: "stat" | "status"): string | undefined {
  try {
    return readText(`/proc/${pid}/${name}`);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}

/** undefined when there is no such process. */
export function processStatus(pid: number): ProcessStatus | undefined {
  const text = processFile(pid, "stat");
  if (text === undefined) return undefined;
  // the name may hold spaces and parentheses: the last ")" ends it
  const end = text.lastIndexOf(")");
  const fields = text.slice(end + 2).split(" ");
  return {
    name: text.slice(text.indexOf("(") + 1, end),
    state: fields[0] ?? "",
    parent: Number(fields[1]),
    group: Number(fields[2]),
    flags: Number(fields[6]),
    startTime: Number(fields[19]),
    ending: Number(fields[49] ?? 0),
  };
}

/** The process if it still is the one that started then, and is no zombie. */
export function aliveProcess(pid: number, startTime: number): ProcessStatus | undefined {
  const status = processStatus(pid);
  return status === undefined || status.startTime !== startTime || "ZX".includes(status.state)
    ? undefined
    : status;
}

/** Whether the process that started then has ended or is ending: its namespaces may be gone at any moment. */
export function isExiting(pid: number, startTime: number): boolean {
  const alive = aliveProcess(pid, startTime);
  return alive === undefined || (alive.flags & PF_EXITING) !== 0;
}

/** A descriptor of whichever process has this number now; undefined when there is none. */
export function openPid(pid: number): Fd | undefined {
  const opened = trySyscall("pidfd_open", pid, 0);
  if (opened >= 0) return new Fd(opened, `process ${pid}`);
  if (["ESRCH", "EINVAL", "ENOENT"].includes(errnoName(-opened))) return undefined;
  throw systemError("pidfd_open", -opened, `process ${pid}`);
}

/**
 * A descriptor of a process, so that no signal can go to another one that got its pid; undefined when it has gone. With
 * `zombies` also of one whose main thread has ended.
 */
export function openProcess(pid: number, startTime: number, zombies = false): Fd | undefined {
  const fd = openPid(pid);
  if (fd === undefined) return undefined;
  const there = zombies
    ? processStatus(pid)?.startTime === startTime
    : aliveProcess(pid, startTime) !== undefined;
  if (there) return fd;
  fd.close();
  return undefined;
}

/** Sends a signal to the process of a descriptor; false when it has gone. */
export function signalOpened(process: Fd, signal: number): boolean {
  const result = trySyscall("pidfd_send_signal", process.number, signal, null, 0);
  if (result === 0) return true;
  if (errnoName(-result) === "ESRCH") return false;
  throw systemError("pidfd_send_signal", -result, process.name);
}

/** Whether the process of a descriptor has its number still: it may have ended, but nobody has reaped it. */
export function hasItsNumber(process: Fd): boolean {
  const result = trySyscall("pidfd_send_signal", process.number, 0, null, 0);
  return result === 0 || errnoName(-result) !== "ESRCH";
}

/** Sends a signal to the process that started then; false when it has gone. */
export function signalProcess(pid: number, startTime: number, signal: number, zombies = false): boolean {
  using process = openProcess(pid, startTime, zombies);
  return process !== undefined && signalOpened(process, signal);
}

/** Sends a signal to the process group that a child leads, which nobody has reaped yet: its number is no other group's. */
export function signalGroupOf(child: number, signal: number): void {
  const result = trySyscall("kill", -child, signal);
  if (result < 0 && errnoName(-result) !== "ESRCH") throw systemError("kill", -result);
}

/**
 * Whether the kernel would drop this signal: the process is the first of its pid namespace and neither handles nor ignores
 * nor blocks it (pid_namespaces(7), proc_pid_status(5)).
 */
export function dropsSignal(pid: number, signal: number): boolean {
  const text = processFile(pid, "status");
  if (text === undefined) return false;
  const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(text)?.[1] ?? "";
  if (!field("NSpid").endsWith("\t1")) return false;
  const bit = 1n << BigInt(signal - 1);
  return ["SigBlk", "SigIgn", "SigCgt"].every((name) => (BigInt(`0x${field(name) || "0"}`) & bit) === 0n);
}

/** Waits until a process, not a child of ours perhaps, has ended; false after so many milliseconds. */
export function waitForEnd(pid: number, startTime: number, milliseconds: number): boolean {
  using process = openProcess(pid, startTime);
  if (process === undefined) return true;
  return waitFor(process, "read", milliseconds) || aliveProcess(pid, startTime) === undefined;
}

export interface Ending {
  /** The exit status, or 128+n when signal n ended it. */
  status: number;
  signal: number | undefined;
}

/** The processor time of a process that was reaped, and of its children that it has waited for: struct rusage (getrusage(2)). */
export class ProcessorTime {
  /** Begins with two struct timeval. */
  readonly usage = new BigInt64Array(18);

  get userMs(): number {
    return this.#milliseconds(0);
  }

  get systemMs(): number {
    return this.#milliseconds(2);
  }

  #milliseconds(at: number): number {
    return Number(this.usage[at]) * 1000 + Number(this.usage[at + 1]) / 1000;
  }
}

/**
 * Waits for the end of a child of ours and reaps it; undefined if it runs on and `block` is false, or isn't our child. `time` gets its
 * processor time.
 */
export function reapChild(pid: number, block: boolean, time?: ProcessorTime): Ending | undefined {
  const word = new Int32Array(1);
  const reaped = trySyscall("wait4", pid, word, block ? 0 : W.NOHANG, time?.usage ?? null);
  if (reaped < 0) {
    if (errnoName(-reaped) === "ECHILD") return undefined;
    throw systemError("wait4", -reaped);
  }
  return reaped === 0 ? undefined : endingOf(word[0] ?? 0);
}

/** What a status of wait4(2) says. */
export function endingOf(word: number): Ending {
  const signal = word & 0x7f;
  return signal === 0 ? { status: (word >> 8) & 0xff, signal: undefined } : { status: 128 + signal, signal };
}

/** Whether a process, which may have ended but was not reaped, is a child of ours. */
export function isChild(pid: number): boolean {
  return trySyscall("waitid", P_PID, pid, null, W.EXITED | W.NOHANG | W.NOWAIT, null) === 0;
}

/** Whether there are children of ours, some of which may have ended and were not reaped. */
export function hasChildren(): boolean {
  return trySyscall("waitid", P_ALL, 0, null, W.EXITED | W.NOHANG | W.NOWAIT, null) === 0;
}

/** The start time of a child of hako's. If it can't be read the child is killed, for nobody could name it later. */
export function startTimeOf(child: number): number {
  return orEndChild(child, () => processStatus(child)?.startTime ?? 0);
}

/**
 * A descriptor of a child of hako's; undefined when that has ended and was reaped. If the descriptor can't be had the child is
 * killed.
 */
export function openChild(child: number): Fd | undefined {
  return orEndChild(child, () => openPid(child));
}

function orEndChild<T>(child: number, action: () => T): T {
  try {
    return action();
  } catch (error) {
    // nobody has reaped it, so the number is its own
    trySyscall("kill", child, SIG.KILL);
    reapChild(child, true);
    throw error;
  }
}

/**
 * Tells execve from death. To be called when the close-on-exec socket of a process of hako's, which is called `name`, has been
 * closed: both do that.
 *
 * - The kernel closes descriptors a moment before it changes the name, so the old name alone proves nothing.
 * - A program may be called `name` too: nobody waits for the name to change.
 * - A process that somebody has reaped counts as one that has executed a program.
 */
export function hasExecuted(pid: number, startTime: number, name: string): boolean {
  const status = processStatus(pid);
  if (status?.startTime !== startTime || status.name !== name) return true;
  return !"ZX".includes(status.state) && (status.flags & PF_EXITING) === 0;
}

/** Whether a child of ours has ended; it stays to be reaped. */
export function childEnded(pidfd: Fd): boolean {
  const info = new Int32Array(32);
  const result = trySyscall("waitid", P_PIDFD, pidfd.number, info, W.EXITED | W.NOHANG | W.NOWAIT, null);
  return result === 0 && info[0] !== 0;
}

/** Whether a process is stopped, by a signal or by who traces it. */
export function isHalted(pid: number): boolean {
  return "Tt".includes(processStatus(pid)?.state ?? "X");
}

/** Hides this process from ptrace and in /proc from other processes of its user (CVE-2016-9962); execve undoes it. */
export function hideProcess(): void {
  perform([hideStep()]);
}

export function hideStep(): Step {
  return { what: "PR_SET_DUMPABLE", call: "prctl", args: [PR.SET_DUMPABLE, 0, 0, 0, 0] };
}

/** The signal that this process gets when its parent ends; changing the identity clears it. */
export function setParentDeathSignal(signal: number): void {
  perform([parentDeathStep(signal)]);
}

export function parentDeathStep(signal: number): Step {
  return { what: "PR_SET_PDEATHSIG", call: "prctl", args: [PR.SET_PDEATHSIG, signal, 0, 0, 0] };
}

/** What a child of this process does first, to end with this process; `what` is how errors call the look at the parent. */
export function endWithParentSteps(what: string): Step[] {
  // the parent may have ended before the first step: then the child would wait for ever
  return [parentDeathStep(SIG.KILL), { what, call: "getppid", args: [], success: { exactly: process.pid } }];
}

/** The name in /proc/PID/comm: at most 15 bytes; execve sets the program's. */
export function nameStep(name: string): Step {
  return { what: "PR_SET_NAME", call: "prctl", args: [PR.SET_NAME, name, 0, 0, 0] };
}

/** Orphans below this process become its children. */
export function becomeSubreaper(): void {
  syscallOn("PR_SET_CHILD_SUBREAPER", "prctl", PR.SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

/**
 * Waits until a process of hako's writes to a socket, or has closed its end of it. False when neither has happened by `until`
 * (performance.now()), or when the process has ended and somebody else keeps that end open. A seccomp filter can kill the main
 * thread alone (SECCOMP_RET_KILL_THREAD), and the others would keep the socket open for ever: then all of the process is killed.
 */
export function waitForWord(
  socket: Fd,
  pid: number,
  startTime: number,
  until = Number.POSITIVE_INFINITY,
): boolean {
  const says = (within: number) => waitFor(socket, "read", within);
  while (!says(LOOK_MS)) {
    const status = processStatus(pid);
    if (status?.startTime !== startTime) return says(0);
    if (status.state === "Z") signalProcess(pid, startTime, SIG.KILL, true);
    if (performance.now() > until) return false;
  }
  return true;
}
