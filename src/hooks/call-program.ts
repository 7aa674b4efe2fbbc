import { errnoNumber } from "../base/errno";
import { bytesOf } from "../linux/call/bytes";
import { AT, SIG } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { stringVector } from "../linux/call/memory";
import type { Step } from "../linux/call/step";
import { syscallOn, trySyscall } from "../linux/call/syscall";
import { stepError } from "../linux/call/walk";
import { readAtMost, writeAllTo } from "../linux/file/file";
import { memoryFile } from "../linux/file/memfd";
import { waitFor } from "../linux/file/poll";
import { execveStep, repairSteps } from "../linux/process/execution";
import { filterSteps, type SeccompFilter } from "../linux/process/filter-steps";
import { openPid, reapChild, signalOpened } from "../linux/process/process";
import { signalName } from "../linux/process/signals";
import { inheritSteps, replaceStep } from "../linux/steps/child-steps";
import { cloneChild, Reports } from "../linux/steps/clone";

const INPUT = "a hook's standard input";
const SEEK_SET = 0;
const SEEK_END = 2;
const MOST_READ = 65536;

/** What a program in the container is under. */
export interface Filtered {
  filter: SeccompFilter;
  /** What takes away the capability that was kept to put it into force. */
  last: Step | undefined;
}

export interface ProgramCall {
  path: string;
  argv: readonly string[];
  /** Where it runs; where that has gone, it runs where we are. */
  cwd: string;
  /** "NAME=value" */
  environment: readonly string[];
  input: string;
  /** Milliseconds. */
  timeout: number | undefined;
  /** The soft limit of open files; undefined leaves ours, which Bun has raised. */
  openFiles: number | undefined;
  /** In a container, under its filter. */
  filtered: Filtered | undefined;
}

export interface CallEnd {
  /** undefined when a signal ended it. */
  status: number | undefined;
  /** The name of the signal that ended it. */
  signal: string | undefined;
  /** Its timeout was over before it ended. */
  late: boolean;
  /** Why it couldn't be executed: of execve(2). */
  errno: number | undefined;
  /** The end of what it wrote. */
  stdout: Uint8Array;
  stderr: Uint8Array;
}

/**
 * Runs a program and waits for its end. Its streams are files, so that it waits for nobody. Under a container's filter from its
 * first instruction on where there is one: what is in a container is not ours to trust, nor is a hook there.
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
    ...repairSteps(call.openFiles),
    ...(call.filtered === undefined ? [] : filterSteps(call.filtered.filter, input, call.filtered.last)),
    execve,
  ];
  using reports = new Reports(steps);
  const plan = { flags: 0, cgroup: undefined, steps, waitsForNothing: true };
  const pid = cloneChild(plan, reports);
  const end = endOf(pid, call.timeout);
  // it has executed by now, or failed to
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

/** The end of a child, which a timeout may bring about. */
function endOf(pid: number, timeout: number | undefined): Pick<CallEnd, "status" | "signal" | "late"> {
  // not reaped before, so the number is its own
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

/** The end of what a program wrote, by the descriptor itself: /proc may be the container's, and is not to be trusted. */
function written(file: Fd): Uint8Array {
  const size = syscallOn(file.name, "lseek", file.number, 0, SEEK_END);
  syscallOn(file.name, "lseek", file.number, Math.max(0, size - MOST_READ), SEEK_SET);
  return readAtMost(file, Math.min(size, MOST_READ));
}
