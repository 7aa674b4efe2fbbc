import { actHere } from "../call/actor";
import type { Step } from "../call/step";
import { systemError, trySyscall } from "../call/syscall";

/** The resources of setrlimit(2) by their names (asm-generic/resource.h). */
export const RLIMITS = {
  RLIMIT_CPU: 0,
  RLIMIT_FSIZE: 1,
  RLIMIT_DATA: 2,
  RLIMIT_STACK: 3,
  RLIMIT_CORE: 4,
  RLIMIT_RSS: 5,
  RLIMIT_NPROC: 6,
  RLIMIT_NOFILE: 7,
  RLIMIT_MEMLOCK: 8,
  RLIMIT_AS: 9,
  RLIMIT_LOCKS: 10,
  RLIMIT_SIGPENDING: 11,
  RLIMIT_MSGQUEUE: 12,
  RLIMIT_NICE: 13,
  RLIMIT_RTPRIO: 14,
  RLIMIT_RTTIME: 15,
} as const;
export type RlimitName = keyof typeof RLIMITS;

export interface Limit {
  soft: bigint;
  hard: bigint;
}

/** A limit of one resource; errors call the setting of it `what`. */
export interface NamedLimit extends Limit {
  name: RlimitName;
  what: string;
}

/** The limit of a process; 0 means this one. */
export function getLimit(pid: number, name: RlimitName): Limit {
  const limit = new BigUint64Array(2);
  const result = trySyscall("prlimit64", pid, RLIMITS[name], null, limit);
  if (result < 0) throw systemError(`prlimit (${name})`, -result);
  return { soft: limit[0] ?? 0n, hard: limit[1] ?? 0n };
}

/** Sets the limit of a process; 0 means this one. Raising the hard one needs CAP_SYS_RESOURCE. */
export function setLimit(pid: number, name: RlimitName, { soft, hard }: Limit): void {
  const result = trySyscall("prlimit64", pid, RLIMITS[name], new BigUint64Array([soft, hard]), null);
  if (result === 0) return;
  const hint = `raising a hard limit needs CAP_SYS_RESOURCE; it is ${getLimit(pid, name).hard}`;
  throw systemError(`prlimit (${name} to ${soft}:${hard})`, -result, undefined, hint);
}

/**
 * Sets limits of the process that makes the steps. They may be too low for hako: what has to follow them must be in the same
 * walk.
 */
export function limitSteps(limits: readonly NamedLimit[]): Step[] {
  return limits.map(({ name, what, soft, hard }) => ({
    what,
    call: "prlimit64",
    args: [0, RLIMITS[name], new BigUint64Array([soft, hard]), 0],
  }));
}

/**
 * The limit of open files for programs that hako starts: the caller's soft limit, which Bun has raised in this process, as far
 * as the hard limit allows.
 */
export function openFilesLimit(ofCaller: number): Limit {
  const { hard } = getLimit(0, "RLIMIT_NOFILE");
  return { soft: BigInt(ofCaller) < hard ? BigInt(ofCaller) : hard, hard };
}

let ofCaller: { soft: number | undefined } | undefined;

/**
 * The caller's soft limit of open files: Bun raises our own before our first line. undefined when it can't be read. It is read when
 * this is called first, and by this process, whoever acts: afterwards the caller may have gone.
 */
export function callerOpenFiles(): number | undefined {
  ofCaller ??= { soft: actHere(readCallerOpenFiles) };
  return ofCaller.soft;
}

function readCallerOpenFiles(): number | undefined {
  try {
    return Number(getLimit(process.ppid, "RLIMIT_NOFILE").soft);
  } catch {
    return undefined; // the caller is in an outer pid namespace, has gone, or is another user's
  }
}
