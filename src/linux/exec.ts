import { during, HakoError } from "../errors";
import { errnoName } from "./errno";
import { executionError, lookAtProgram } from "./execution-error";
import { checkAccess, hasErrno, listNames, readText, statusAt } from "./file";
import { type Step, stepError, walk } from "./steps";
import { address, cString, syscall, systemError, trySyscall } from "./syscall";
import { stringVector } from "./vector";

const RLIMIT_NOFILE = 7;
const CLOSE_RANGE_CLOEXEC = 4;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const X_OK = 1;
/** SIGPIPE and SIGXFSZ: Bun ignores them, and what is ignored stays ignored over execve. */
const IGNORED_BY_BUN = [13, 25];

export interface ExecOptions {
  /** How many descriptors from 3 on the program gets; the others are closed. */
  preserveFds?: number | undefined;
  /** The soft limit of open files for the program; Bun has raised ours. undefined leaves it. */
  openFiles?: number | undefined;
  /** Made right before execve, with nothing of ours between. */
  last?: { steps: readonly Step[]; memory: readonly ArrayBufferView[] } | undefined;
  /** Among them is a seccomp filter, which may forbid to look at the program when it can't be executed. */
  filtered?: boolean | undefined;
}

/** The caller's soft limit of open files: Bun raises our own before our first line. undefined when it can't be read. */
export function callerOpenFiles(): number | undefined {
  try {
    const limits = readText(`/proc/${process.ppid}/limits`);
    const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined; // the caller is in an outer pid namespace, or has gone
  }
}

/** Undoes what Bun changed for programs that this process becomes or starts: ignored signals and the soft limit of open files. */
export function repairForProgram(openFiles: number | undefined): void {
  const byDefault = new Uint8Array(32); // struct sigaction of zeros: SIG_DFL
  for (const signal of IGNORED_BY_BUN) syscall("rt_sigaction", signal, byDefault, null, 8);
  if (openFiles === undefined) return;
  const limit = new BigUint64Array(2);
  syscall("prlimit64", 0, RLIMIT_NOFILE, null, limit);
  const hard = limit[1] ?? 0n;
  limit[0] = BigInt(openFiles) < hard ? BigInt(openFiles) : hard;
  syscall("prlimit64", 0, RLIMIT_NOFILE, limit, null);
}

/** Marks every descriptor from `first` on close-on-exec. */
export function closeOnExecFrom(first: number): void {
  const result = trySyscall("close_range", first, 0xffffffff, CLOSE_RANGE_CLOEXEC);
  if (result === 0) return;
  if (!["ENOSYS", "EINVAL"].includes(errnoName(-result))) throw systemError("close_range", -result);
  for (const name of listNames("/proc/self/fd")) {
    // the directory's own descriptor is gone by now: EBADF is expected
    if (Number(name) >= first) trySyscall("fcntl", Number(name), F_SETFD, FD_CLOEXEC);
  }
}

/** The system calls that make a process a program, the last of them execve. */
export interface Execution {
  steps: readonly Step[];
  /** What they point to. */
  memory: readonly ArrayBufferView[];
  /** The error of a step that failed. */
  failure(step: number, result: number): HakoError;
}

/**
 * Replaces this process by a program, which finds signals, limits and descriptors as a program of the caller would.
 * `env` holds lines "NAME=value". Comes back only by throwing; the process is then good for an error message and exit.
 */
export function execProgram(
  path: string,
  argv: readonly string[],
  env: readonly string[],
  options: ExecOptions = {},
): never {
  const { steps, memory, failure } = prepareExecution(path, argv, env, options);
  const { step, result } = during(`before the execution of ${path}`, () => walk(steps, memory));
  throw failure(step, result);
}

/** Makes signals, limits and descriptors of this process those of a program, and says how it, or a copy of it, becomes one. */
export function prepareExecution(
  path: string,
  argv: readonly string[],
  env: readonly string[],
  options: ExecOptions,
): Execution {
  const file = cString(path);
  const argumentWords = stringVector(argv);
  const environment = stringVector(env);
  const preserved = options.preserveFds ?? 0;
  during(`before the execution of ${path}`, () => {
    repairForProgram(options.openFiles);
    closeOnExecFrom(3 + preserved);
  });
  // Bun marks everything from 4 on when it starts
  for (let fd = 3; fd < 3 + preserved; fd++) trySyscall("fcntl", fd, F_SETFD, 0);
  const { steps: last, memory } = options.last ?? { steps: [], memory: [] };
  const execve: Step = {
    what: "execve",
    call: "execve",
    args: [address(file), address(argumentWords.pointers), address(environment.pointers)],
  };
  const used = [
    file,
    argumentWords.pointers,
    ...argumentWords.memory,
    environment.pointers,
    ...environment.memory,
  ];
  const steps = [...last, execve];
  const before = options.filtered === true ? lookAtProgram(path) : undefined;
  return {
    steps,
    memory: [...memory, ...used],
    failure: (step, result) =>
      steps[step] === execve
        ? executionError(path, -result, before ?? lookAtProgram(path))
        : stepError(steps, [step, result]),
  };
}

/** Looks a command up as execvp(3) does: names with a slash are paths, others are searched in `searchPath`. */
export function lookUpProgram(name: string, searchPath: string | undefined): string {
  if (name.includes("/")) return name;
  let denied = false;
  for (const directory of (searchPath ?? "/usr/local/bin:/usr/bin:/bin").split(":")) {
    const candidate = `${directory === "" ? "." : directory}/${name}`;
    try {
      if (statusAt(candidate)?.type !== "file") continue;
      checkAccess(candidate, X_OK);
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
