import { read } from "bun:ffi";
import { HakoError } from "../errors";
import { Fd } from "./fd";
import { readText } from "./file";
import { libc } from "./libc";
import { address, type SyscallName, syscall, syscallNumber, systemError, trySyscall } from "./syscall";

const CLONE_PARENT = 0x00008000;
const CLONE_INTO_CGROUP = 0x200000000n;
const SIGCHLD = 17;
const MADV_DOFORK = 11;
const CLONE_ARGS_SIZE = 88;
const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const OPEN_TREE_CLONE = 1;
const O_CLOEXEC = 0o2000000;
const MOUNT_ATTR_RDONLY = 1;

/** One system call of a child that has not executed anything yet. Its failure ends the child, unless it is `optional`. */
export interface Step {
  what: string;
  call: SyscallName;
  args: readonly (number | bigint)[];
  /** A failure of this one is passed over. */
  optional?: boolean;
  /** The least result that is a success; 0 if not given. */
  least?: number;
}

/** How a child tells its parent which step failed: the step's number and errno, as two words. */
export const FAILURE_SIZE = 8;

export interface ChildPlan {
  /** CLONE_NEW* flags of the child's new namespaces. */
  flags: number;
  /** The v2 cgroup that the child is born in; ours if undefined. */
  cgroup: Fd | undefined;
  /** Done first by a helper process when there is something to join: the child is then born in what was joined. */
  join: readonly Step[];
  /** What the child does; the last one is an execveat that doesn't come back. */
  steps: readonly Step[];
  /** Where a child that fails writes FAILURE_SIZE bytes. */
  report: Fd;
  /** Memory that the steps point to. */
  memory: readonly ArrayBufferView[];
}

/**
 * JavaScriptCore excludes its JIT region, the one anonymous rwx mapping, from forks; a child without it crashes at
 * its first instruction.
 */
function letForksKeepJit(): void {
  for (const line of readText("/proc/self/maps").split("\n")) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) rwxp 00000000 00:00 0/.exec(line);
    if (match === null) continue;
    const start = BigInt(`0x${match[1]}`);
    syscall("madvise", start, BigInt(`0x${match[2]}`) - start, MADV_DOFORK);
  }
}

/** struct clone_args (clone(2)). */
function cloneArguments(flags: number, exitSignal: number, cgroup?: Fd): Uint8Array {
  const args = new Uint8Array(CLONE_ARGS_SIZE);
  const view = new DataView(args.buffer);
  view.setBigUint64(0, BigInt(flags >>> 0) | (cgroup === undefined ? 0n : CLONE_INTO_CGROUP), true);
  view.setBigUint64(32, BigInt(exitSignal), true);
  view.setBigUint64(80, BigInt(cgroup?.number ?? 0), true);
  return args;
}

type Call = (...args: (number | bigint)[]) => number;
/** number of the call, least result, optional, arguments. */
type Flat = readonly [number, number, boolean, readonly (number | bigint)[]];

function flatten(steps: readonly Step[]): Flat[] {
  return steps.map((step) => {
    const args = [0, 1, 2, 3, 4, 5].map((index) => step.args[index] ?? 0);
    return [syscallNumber(step.call), step.least ?? 0, step.optional === true, args];
  });
}

/**
 * Runs in a child of a raw clone3: nothing but system calls on memory that was made before, for other threads' locks
 * were copied in whatever state they were.
 */
function runSteps(
  call: Call,
  errno: number,
  steps: readonly Flat[],
  report: number,
  words: Int32Array,
): void {
  for (let index = 0; index < steps.length; index++) {
    const step = steps[index];
    if (step === undefined) break;
    const [number, least, optional, args] = step;
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = args;
    const result = call(number, a, b, c, d, e, f);
    if (result >= least || optional) continue;
    words[0] = index;
    words[1] = result < 0 ? read.i32(errno as never, 0) : 0;
    call(WRITE, report, WORDS_ADDRESS.value, FAILURE_SIZE, 0, 0, 0);
    call(EXIT_GROUP, 1, 0, 0, 0, 0, 0);
  }
}

const WRITE = syscallNumber("write");
const EXIT_GROUP = syscallNumber("exit_group");
const WORDS_ADDRESS = { value: 0 };

/**
 * Makes a child in new namespaces that runs `steps`, and returns its pid as this process sees it. The child is ours to
 * reap even when a helper joined other namespaces for it (CLONE_PARENT).
 */
export function cloneChild(plan: ChildPlan): number {
  letForksKeepJit();
  const call = libc("syscall") as unknown as Call;
  const errno = libc("__errno_location")();
  const words = new Int32Array(2);
  WORDS_ADDRESS.value = address(words);
  const clone3 = syscallNumber("clone3");
  const steps = flatten(plan.steps);
  const join = flatten(plan.join);
  const report = plan.report.number;
  const direct = cloneArguments(plan.flags, SIGCHLD, plan.cgroup);
  if (join.length === 0) {
    const pid = call(clone3, address(direct), CLONE_ARGS_SIZE, 0, 0, 0, 0);
    if (pid === 0) runSteps(call, errno, steps, report, words);
    if (pid < 0) throw cloneError(read.i32(errno as never, 0), plan.flags);
    return plan.memory.length < 0 ? 0 : pid;
  }
  const helper = cloneArguments(0, SIGCHLD);
  const child = cloneArguments(plan.flags | CLONE_PARENT, 0, plan.cgroup);
  const pipe = new Int32Array(2);
  syscall("pipe2", pipe, O_CLOEXEC);
  using readEnd = new Fd(pipe[0] ?? -1);
  const writeEnd = new Fd(pipe[1] ?? -1);
  const childAddress = address(child);
  const helperPid = call(clone3, address(helper), CLONE_ARGS_SIZE, 0, 0, 0, 0);
  if (helperPid === 0) {
    runSteps(call, errno, join, writeEnd.number, words);
    const pid = call(clone3, childAddress, CLONE_ARGS_SIZE, 0, 0, 0, 0);
    if (pid === 0) runSteps(call, errno, steps, report, words);
    words[0] = -1;
    words[1] = pid < 0 ? -read.i32(errno as never, 0) : pid;
    call(WRITE, writeEnd.number, WORDS_ADDRESS.value, FAILURE_SIZE, 0, 0, 0);
    call(EXIT_GROUP, 0, 0, 0, 0, 0, 0);
  }
  if (helperPid < 0) throw cloneError(read.i32(errno as never, 0), 0);
  writeEnd.close();
  const answer = new Int32Array(2);
  const length = trySyscall("read", readEnd.number, answer, FAILURE_SIZE);
  trySyscall("wait4", helperPid, null, 0, null);
  const [index = 0, value = 0] = answer;
  if (length === FAILURE_SIZE && index === -1 && value > 0) return value;
  if (length !== FAILURE_SIZE || (index === -1 && value === 0)) {
    throw new HakoError({ code: "system", message: "the process that joins namespaces has died" });
  }
  throw index === -1 ? cloneError(-value, plan.flags) : stepError(plan.join, index, value);
}

function cloneError(errno: number, flags: number): HakoError {
  const userNamespace = (flags & 0x10000000) !== 0;
  const hint = userNamespace
    ? "see /proc/sys/user/max_user_namespaces and kernel.unprivileged_userns_clone"
    : "see /proc/sys/user/max_*_namespaces and the cgroup's pids limit";
  return systemError("clone3", errno, undefined, hint);
}

/** The error of a step that failed in the child. */
export function stepError(steps: readonly Step[], index: number, errno: number): HakoError {
  const step = steps[index];
  const call = step?.what ?? `step ${index}`;
  return errno === 0
    ? new HakoError({ code: "system", message: `${call}: ended too soon` })
    : systemError(call, errno);
}

/**
 * Our own executable from a detached, read-only mount that nobody else can reach: no container can write to it through
 * /proc/self/exe (CVE-2019-5736). It takes Linux 5.12.
 */
export function sealedExecutable(): Fd {
  const tree = trySyscall("open_tree", AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE | O_CLOEXEC);
  if (tree < 0) throw systemError("open_tree", -tree, "/proc/self/exe", "hako needs linux 5.12");
  const fd = new Fd(tree);
  const attributes = new BigUint64Array([BigInt(MOUNT_ATTR_RDONLY), 0n, 0n, 0n]);
  try {
    syscall("mount_setattr", fd.number, "", AT_EMPTY_PATH, attributes, 32);
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}
