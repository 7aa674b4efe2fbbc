import { errnoNumber } from "../base/errno";
import { stringVector } from "../linux/call/argument-memory";
import { bytesOf } from "../linux/call/bytes";
import { AT, SIG } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import type { Step } from "../linux/call/step";
import { syscallOn, trySyscall } from "../linux/call/syscall";
import { stepError } from "../linux/call/walk";
import { readAtMost, writeAllTo } from "../linux/file/file";
import { memoryFile } from "../linux/file/memfd";
import { waitFor } from "../linux/file/poll";
import { execveStep, repairSteps } from "../linux/process/execute";
import { filterSteps, type SeccompFilter } from "../linux/process/filter-steps";
import { openPid, reapChild, signalOpened } from "../linux/process/process";
import { callerOpenFiles } from "../linux/process/rlimit";
import { signalName } from "../linux/process/signals";
import { inheritSteps, replaceStep } from "../linux/steps/child-steps";
import { cloneChild, Reports } from "../linux/steps/clone-child";

const INPUT = "a hook's standard input";
const SEEK_SET = 0;
const SEEK_END = 2;
const MOST_READ = 65536;

/** The seccomp filter that a program in the container runs under. */
export interface Filtered {
  filter: SeccompFilter;
  /** The step that drops the capability which was kept to load the filter. */
  last: Step | undefined;
}

export interface ProgramCall {
  path: string;
  argv: readonly string[];
  /** The working directory; hako's own is kept where this one is gone. */
  cwd: string;
  /** "NAME=value" */
  environment: readonly string[];
  input: string;
  /** Milliseconds. */
  timeout: number | undefined;
  /** Set for a program in a container. */
  filtered: Filtered | undefined;
}

export interface CallEnd {
  /** The exit status; undefined when a signal ended the program. */
  status: number | undefined;
  /** The name of the signal that ended the program. */
  signal: string | undefined;
  /** The timeout was over before the program ended. */
  late: boolean;
  /** The errno of execve(2); undefined when the program was executed. */
  errno: number | undefined;
  /** The end of what the program wrote. */
  stdout: Uint8Array;
  stderr: Uint8Array;
}

/**
 * Runs a program and waits for its end. Its streams are files in memory, so that it never waits for a reader. In a container it is under the
 * container's filter from its first instruction on: a hook there is no more to be trusted than the container's program.
 */
export function callProgram(call: ProgramCall): CallEnd {
  using input = memoryFile(INPUT);
  writeAllTo(input.number, bytesOf(call.input), INPUT);
  syscallOn(INPUT, "lseek", input.number, 0, SEEK_SET);
  using output = memoryFile("a hook's standard output");
  using errors = memoryFile("a hook's standard error");
  const execve = execveStep(call.path, stringVector(call.argv), stringVector(call.environment));
  const steps: Step[] = [
    ...[input, output, errors].map((file, stream) => replaceStep(file.name ?? "", stream, file)),
    ...inheritSteps(0, []),
    ...directorySteps(call.cwd),
    ...repairSteps(callerOpenFiles()),
    ...(call.filtered === undefined ? [] : filterSteps(call.filtered.filter, input, call.filtered.last)),
    execve,
  ];
  using reports = new Reports(steps);
  const plan = { flags: 0, cgroup: undefined, steps, waitsForNothing: true };
  const pid = cloneChild(plan, reports);
  const end = endOf(pid, call.timeout);
  // the child has ended, so a report of a failed step has been written
  const failed = reports.next();
  if (failed !== undefined && steps[failed[0]] !== execve) throw stepError(steps, failed);
  const errno = failed === undefined ? undefined : -failed[1];
  return { ...end, errno, stdout: written(output), stderr: written(errors) };
}

/** Enters a directory; one that is not there is passed over. */
function directorySteps(path: string): Step[] {
  const found = trySyscall("faccessat2", AT.FDCWD, path, 0, 0);
  return -found === errnoNumber("ENOENT") ? [] : [{ what: `chdir ${path}`, call: "chdir", args: [path] }];
}

/** Waits for the end of a child, and kills it when the timeout is over. */
function endOf(pid: number, timeout: number | undefined): Pick<CallEnd, "status" | "signal" | "late"> {
  // nobody else reaps this child, so the pid can't be another process'
  using process = openPid(pid);
  const late =
    process !== undefined &&
    !waitFor(process, "read", timeout ?? Number.POSITIVE_INFINITY) &&
    timeout !== undefined;
  if (late) signalOpened(process, SIG.KILL);
  const { status, signal } = reapChild(pid, true) ?? { status: 1, signal: undefined };
  return signal === undefined
    ? { status, signal: undefined, late }
    : { status: undefined, signal: signalName(signal), late };
}

/** The end of what a program wrote. It is read by the descriptor: /proc may be the container's, and is not to be trusted. */
function written(file: Fd): Uint8Array {
  const size = syscallOn(file.name, "lseek", file.number, 0, SEEK_END);
  syscallOn(file.name, "lseek", file.number, Math.max(0, size - MOST_READ), SEEK_SET);
  return readAtMost(file, Math.min(size, MOST_READ));
}
