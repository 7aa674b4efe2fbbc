import { errnoName } from "../../base/errno";
import { during, HakoError } from "../../base/errors";
import { type PointingMemory, stringVector } from "../call/argument-memory";
import { ACCESS, CLOSE_RANGE, F, FD, SIG } from "../call/constants";
import type { Step } from "../call/step";
import { systemError, trySyscall } from "../call/syscall";
import { perform } from "../call/walk";
import { callerVariable } from "../file/caller-environment";
import { checkAccess, hasErrno, listNames, statusAt } from "../file/file";
import { limitSteps, openFilesLimit } from "./rlimit";

/** What is ignored stays ignored over execve. */
const IGNORED_BY_BUN = [SIG.PIPE, SIG.XFSZ];

export interface ExecutionOptions {
  /** How many descriptors from 3 on the program gets; the others are closed. */
  preserveFds?: number | undefined;
  /** The soft limit of open files for the program; Bun has raised ours. undefined leaves it. */
  openFiles?: number | undefined;
  /** Made right before execve. */
  last?: readonly Step[] | undefined;
}

/** The kernel does with a signal what it does by default. */
export function defaultActionStep(signal: number): Step {
  const byDefault = new Uint8Array(32); // struct sigaction of zeros: SIG_DFL
  return { what: `rt_sigaction ${signal}`, call: "rt_sigaction", args: [signal, byDefault, 0, 8] };
}

/** Undoes for a program what Bun has done to this process: ignored signals, and a raised soft limit of open files. */
export function repairSteps(openFiles: number | undefined): Step[] {
  const steps = IGNORED_BY_BUN.map(defaultActionStep);
  if (openFiles === undefined) return steps;
  const limit = openFilesLimit(openFiles);
  return [...steps, ...limitSteps([{ name: "RLIMIT_NOFILE", what: "prlimit (open files)", ...limit }])];
}

/** Marks every descriptor from `first` on close-on-exec. */
function closeOnExecFrom(first: number): void {
  const result = trySyscall("close_range", first, 0xffffffff, CLOSE_RANGE.CLOEXEC);
  if (result === 0) return;
  if (!["ENOSYS", "EINVAL"].includes(errnoName(-result))) throw systemError("close_range", -result);
  for (const name of listNames("/proc/self/fd")) {
    // the directory's own descriptor is gone by now: EBADF is expected
    if (Number(name) >= first) trySyscall("fcntl", Number(name), F.SETFD, FD.CLOEXEC);
  }
}

/**
 * Replaces this process by a program, which finds signals, limits and descriptors as a program of the caller would.
 * `env` holds lines "NAME=value". Comes back only with the errno of execve; the process is then good for an error message and exit.
 */
export function execProgram(
  path: string,
  argv: readonly string[],
  env: readonly string[],
  options: ExecutionOptions = {},
): number {
  const preserved = options.preserveFds ?? 0;
  const execve = execveStep(path, stringVector(argv), stringVector(env));
  return during(`before the execution of ${path}`, () => {
    perform(repairSteps(options.openFiles));
    closeOnExecFrom(3 + preserved);
    // Bun marks everything from 4 on when it starts
    for (let fd = 3; fd < 3 + preserved; fd++) trySyscall("fcntl", fd, F.SETFD, 0);
    perform(options.last ?? []);
    return -trySyscall("execve", ...execve.args);
  });
}

/** execve(2) as a step. */
export function execveStep(path: string, argv: PointingMemory, env: PointingMemory): Step {
  return { what: `execve ${path}`, call: "execve", args: [path, argv, env] };
}

/** The path of a program of the host, looked up in the caller's PATH; undefined where there is none. */
export function findHostProgram(name: string): string | undefined {
  try {
    return lookUpProgram(name, callerVariable("PATH"));
  } catch {
    return undefined;
  }
}

/** Looks a command up as execvp(3) does: names with a slash are paths, others are searched in `searchPath`. */
export function lookUpProgram(name: string, searchPath: string | undefined): string {
  if (name.includes("/")) return name;
  let denied = false;
  for (const directory of (searchPath ?? "/usr/local/bin:/usr/bin:/bin").split(":")) {
    const candidate = `${directory === "" ? "." : directory}/${name}`;
    try {
      if (statusAt(candidate)?.type !== "file") continue;
      checkAccess(candidate, ACCESS.X_OK);
      return candidate;
    } catch (error) {
      if (hasErrno(error, "EACCES")) denied = true;
    }
  }
  throw new HakoError({
    code: denied ? "command-not-executable" : "command-not-found",
    message: denied
      ? `${JSON.stringify(name)}: permission denied`
      : `${JSON.stringify(name)}: executable file not found in $PATH`,
  });
}
