import { constants } from "node:os";
import { bytesOf } from "../linux/bytes";
import { inheritSteps, replaceStep } from "../linux/child-steps";
import { cloneChild, Reports } from "../linux/clone";
import { errnoName } from "../linux/errno";
import { execveStep, repairSteps } from "../linux/exec";
import type { Fd } from "../linux/fd";
import { readAtMost, writeAllTo } from "../linux/file";
import { memoryFile } from "../linux/memfd";
import { stringVector } from "../linux/memory";
import { openPid, reapChild, signalOpened } from "../linux/process";
import { filterSteps, type SeccompFilter } from "../linux/seccomp";
import { waitFor } from "../linux/socket";
import { type Step, stepError } from "../linux/steps";
import { syscallOn } from "../linux/syscall";

const INPUT = "a hook's standard input";
const SEEK_SET = 0;
const SEEK_END = 2;
const MOST_READ = 65536;
const SIGKILL = 9;

/** What a program in the container is under. */
export interface Filtered {
  filter: SeccompFilter;
  /** What takes away the capability that was kept to put it into force. */
  last: Step | undefined;
}

export interface InsideCall {
  path: string;
  argv: readonly string[];
  /** "NAME=value" */
  environment: readonly string[];
  cwd: string;
  /** The caller's soft limit of open files. */
  openFiles: number | undefined;
  input: string;
  /** Milliseconds. */
  timeout: number | undefined;
}

/** As of spawnSync. */
export interface CallEnd {
  status: number | null;
  signal: string | null;
  stdout: Uint8Array;
  stderr: Uint8Array;
  error: { code: string; errno: number } | undefined;
}

/**
 * Runs a program as a child of whoever acts, a container's process, and waits for its end. What is in a container is not ours to
 * trust: with a filter it is under that, as the container's program is. Its streams are files, so that it waits for nobody.
 */
export function callInside(call: InsideCall, filtered: Filtered | undefined): CallEnd {
  using input = memoryFile(INPUT);
  writeAllTo(input.number, bytesOf(call.input), INPUT);
  syscallOn(INPUT, "lseek", input.number, 0, SEEK_SET);
  using output = memoryFile("a hook's standard output");
  using errors = memoryFile("a hook's standard error");
  const execve = execveStep(call.path, stringVector(call.argv), stringVector(call.environment));
  const steps: Step[] = [
    ...[input, output, errors].map((file, stream) => replaceStep(file.name ?? "", stream, file)),
    { what: `chdir ${call.cwd}`, call: "chdir", args: [call.cwd] },
    ...inheritSteps(0, []),
    ...repairSteps(call.openFiles),
    ...(filtered === undefined ? [] : filterSteps(filtered.filter, input, filtered.last)),
    execve,
  ];
  using reports = new Reports(steps);
  const plan = { flags: 0, cgroup: undefined, steps, waitsForNothing: true };
  const pid = cloneChild(plan, reports);
  const end = endOf(pid, call.timeout);
  // it has executed by now, or failed to
  const failed = reports.next();
  if (failed !== undefined && steps[failed[0]] !== execve) throw stepError(steps, failed);
  const error = failed === undefined ? end.error : { code: errnoName(-failed[1]), errno: failed[1] };
  return { ...end, error, stdout: written(output), stderr: written(errors) };
}

/** The end of a child, which a timeout may bring about. */
function endOf(pid: number, timeout: number | undefined): Pick<CallEnd, "status" | "signal" | "error"> {
  // not reaped before, so the number is its own
  using process = openPid(pid);
  const late = process !== undefined && !waitFor(process, "read", timeout ?? -1);
  if (late) signalOpened(process, SIGKILL);
  const { status, signal } = reapChild(pid, true) ?? { status: 1, signal: undefined };
  const error = late ? { code: "ETIMEDOUT", errno: 0 } : undefined;
  return signal === undefined
    ? { status, signal: null, error }
    : { status: null, signal: nameOf(signal), error };
}

function nameOf(signal: number): string {
  const found = Object.entries(constants.signals).find(([, number]) => number === signal);
  return found?.[0] ?? `signal ${signal}`;
}

/** The end of what was written. Nothing is read by way of /proc, which is the container's. */
function written(file: Fd): Uint8Array {
  const size = syscallOn(file.name, "lseek", file.number, 0, SEEK_END);
  syscallOn(file.name, "lseek", file.number, Math.max(0, size - MOST_READ), SEEK_SET);
  return readAtMost(file, Math.min(size, MOST_READ));
}
