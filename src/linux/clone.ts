import { HakoError } from "../errors";
import { spawnFunction } from "./clone-code";
import { errnoName } from "./errno";
import { Fd } from "./fd";
import { sealedProgram } from "./memfd";
import { NAMESPACE_FLAGS } from "./namespace";
import { isChild } from "./process";
import { effectiveUser } from "./rootless";
import { waitFor } from "./socket";
import { statusOf } from "./stat";
import { type Step, stepError, tableOf, withTable } from "./steps";
import { address, syscall, syscallOn, systemError, trySyscall } from "./syscall";

const CLONE_VM = 0x00000100n;
const CLONE_VFORK = 0x00004000n;
const CLONE_PARENT = 0x00008000n;
const CLONE_CLEAR_SIGHAND = 0x100000000n;
const CLONE_INTO_CGROUP = 0x200000000n;
const SIGCHLD = 17;
const CLONE_ARGS_SIZE = 88;
const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const OPEN_TREE_CLONE = 1;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const MOUNT_ATTR_RDONLY = 1;
const EXECUTABLE = "/proc/self/exe";
const W_OK = 2;
const AT_EACCESS = 0x200;

export interface ChildPlan {
  /** CLONE_NEW* flags of the child's new namespaces. */
  flags: number;
  /** The v2 cgroup that the child is born in; ours if undefined. */
  cgroup: Fd | undefined;
  /** Done first by a helper process when there is something to join: the child is then born in what was joined. */
  join: readonly Step[];
  /** What the child does; the last one is an execveat that doesn't come back. */
  steps: readonly Step[];
  /** The child waits for nothing of ours before it executes: its memory need not be copied, we wait for it instead. */
  waitsForNothing: boolean;
  /** What reports call the first step; 0 if not given. */
  first?: number;
}

/** struct clone_args (clone(2)). */
function cloneArguments(flags: bigint, exitSignal: number, cgroup?: Fd): Uint8Array {
  const args = new Uint8Array(CLONE_ARGS_SIZE);
  const view = new DataView(args.buffer);
  const into = cgroup === undefined ? 0n : CLONE_INTO_CGROUP;
  // handlers of ours must not run in the child, which is not to touch anything
  view.setBigUint64(0, flags | CLONE_CLEAR_SIGHAND | into, true);
  view.setBigUint64(32, BigInt(exitSignal), true);
  view.setBigUint64(80, BigInt(cgroup?.number ?? 0), true);
  return args;
}

/** What a child said before it ended: the number of a step, and its result. */
export type Report = readonly [step: number, result: number];

const REPORTS = "reports of a child";

/** Where a child that fails says so; at its end nobody is left who could. */
export class Reports implements Disposable {
  readonly #read: Fd;
  readonly #write: Fd;
  readonly #steps: readonly Step[];

  constructor(steps: readonly Step[]) {
    const pair = new Int32Array(2);
    // never waited on: what a child had to say is there when it has ended
    syscallOn(REPORTS, "pipe2", pair, O_CLOEXEC | O_NONBLOCK);
    this.#read = new Fd(pair[0] ?? -1, REPORTS);
    this.#write = new Fd(pair[1] ?? -1, REPORTS);
    this.#steps = steps;
  }

  /** What the child writes to. */
  get write(): Fd {
    return this.#write;
  }

  get number(): number {
    return this.#write.number;
  }

  /** Where reports are read. */
  get reader(): Fd {
    return this.#read;
  }

  /** The next report; undefined if there is none. */
  next(): Report | undefined {
    const words = new BigInt64Array(2);
    const length = trySyscall("read", this.#read.number, words, 16);
    return length === 16 ? [Number(words[0]), Number(words[1])] : undefined;
  }

  /** Waits until the child has executed its program or has ended; what it said if it has ended with an error. */
  last(): Report | undefined {
    // ours would keep the pipe open
    this.#write.close();
    waitFor(this.#read, "read", -1);
    return this.next();
  }

  /** The error of a child that has ended before it executed anything; undefined if it did execute. */
  failure(): HakoError | undefined {
    const report = this.next();
    return report === undefined ? undefined : stepError(this.#steps, report);
  }

  [Symbol.dispose](): void {
    this.#read.close();
    this.#write.close();
  }
}

/**
 * Makes a child in new namespaces that makes the steps' system calls, and returns its pid as this process sees it. The
 * child is ours to reap even when a helper joined other namespaces for it (CLONE_PARENT).
 */
export function cloneChild(plan: ChildPlan, reports: Reports): number {
  const flags = BigInt(plan.flags >>> 0);
  if (plan.join.length > 0) return cloneInJoined(plan, flags, reports);
  const pid = spawn(reports.number, plan.steps, flags | sharing(plan), plan.cgroup, plan.first);
  if (pid < 0) throw systemError(cloneName(), -pid);
  return pid;
}

let known: boolean | undefined;

/** Whether the kernel has clone3, or a seccomp filter that can't see its flags hides it, as docker's does: it has clone then. */
function hasClone3(): boolean {
  // no arguments are too short ones
  known ??= errnoName(-trySyscall("clone3", null, 0)) !== "ENOSYS";
  return known;
}

/** The call that makes processes here. */
export function cloneName(): "clone3" | "clone" {
  return hasClone3() ? "clone3" : "clone";
}

/** Until it executes, the child has our memory, and we wait: a copy would cost each of us a fault for each page. */
function sharing({ waitsForNothing }: ChildPlan): bigint {
  return waitsForNothing ? CLONE_VM | CLONE_VFORK : 0n;
}

/** Makes a child with these steps; its pid, or -errno. */
function spawn(report: number, steps: readonly Step[], flags: bigint, cgroup?: Fd, first?: number): number {
  if (!hasClone3()) {
    const { spawnByClone } = require("./clone-by-flags") as typeof import("./clone-by-flags");
    return spawnByClone(report, steps, flags, cgroup, first);
  }
  const args = cloneArguments(flags, SIGCHLD, cgroup);
  return withTable(tableOf(report, steps, undefined, first), (table) =>
    spawnFunction()(table, address(args), CLONE_ARGS_SIZE),
  );
}

/** Makes a sibling, which goes on with the steps that follow: in it the result is 0. In its maker it is more and ends that, with a report. */
export function siblingStep(flags = 0n, cgroup?: Fd): Step {
  if (!hasClone3()) return { what: "clone", call: "clone", args: [flags | CLONE_PARENT, 0], most: 0n };
  const args = cloneArguments(flags | CLONE_PARENT, 0, cgroup);
  return { what: "clone3", call: "clone3", args: [args, CLONE_ARGS_SIZE], most: 0n };
}

/** A helper joins, makes the child as its sibling, reports its pid, and ends; the child goes on with its steps. */
function cloneInJoined(plan: ChildPlan, flags: bigint, reports: Reports): number {
  const shared = mayShare(plan.join) ? sharing(plan) : 0n;
  const steps = [...plan.join, siblingStep(flags | shared, plan.cgroup), ...plan.steps];
  // what can't be said of the sibling it has from the helper
  const helper = spawn(reports.number, steps, shared, hasClone3() ? undefined : plan.cgroup);
  if (helper < 0) throw systemError(cloneName(), -helper);
  // the helper says one thing before it ends; a child that is quick to fail may have said its own before
  trySyscall("wait4", helper, null, 0, null);
  let failed: Report | undefined;
  for (;;) {
    const report = reports.next();
    if (report === undefined) break;
    const [step, result] = report;
    // a pid, from the helper: where memory is shared its number of the step is the child's
    if (result > 0 && step >= plan.join.length) {
      // whoever can get at the child could say this too
      if (!isChild(result)) continue;
      if (failed === undefined) return result;
      trySyscall("wait4", result, null, 0, null);
      throw stepError(plan.steps, failed);
    }
    if (step > plan.join.length) failed = [step - plan.join.length - 1, result];
    else if (step === plan.join.length) throw systemError(cloneName(), -result);
    else throw stepError(plan.join, report);
  }
  throw new HakoError({ code: "system", message: "the process that joins namespaces has died" });
}

/** Who joins a time namespace, or has children in a new one, shares its memory with no other (kernel/time/namespace.c, kernel/fork.c). */
function mayShare(join: readonly Step[]): boolean {
  const flagsOf = ({ call, args }: Step) =>
    call === "setns" ? Number(args[1]) : call === "unshare" ? Number(args[0]) : 0;
  return !join.some((step) => (flagsOf(step) & NAMESPACE_FLAGS.time) !== 0);
}

/**
 * Our own executable so that no container can write to it through /proc/self/exe (CVE-2019-5736): from a detached, read-only
 * mount that nobody else can reach, which takes Linux 5.12. Without the right to make one, the file itself if its mode
 * keeps this user from writing to it, or a sealed copy.
 */
export function sealedExecutable(): Fd {
  const tree = trySyscall("open_tree", AT_FDCWD, EXECUTABLE, OPEN_TREE_CLONE | O_CLOEXEC);
  if (tree < 0 && errnoName(-tree) === "EPERM") return unprivilegedExecutable();
  if (tree < 0) {
    const missing = errnoName(-tree) === "ENOSYS";
    throw systemError("open_tree", -tree, EXECUTABLE, missing ? "hako needs linux 5.12" : undefined);
  }
  const fd = new Fd(tree);
  const attributes = new BigUint64Array([BigInt(MOUNT_ATTR_RDONLY), 0n, 0n, 0n]);
  try {
    syscallOn(EXECUTABLE, "mount_setattr", fd.number, "", AT_EMPTY_PATH, attributes, 32);
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}

function unprivilegedExecutable(): Fd {
  const file = new Fd(syscall("openat", AT_FDCWD, EXECUTABLE, O_CLOEXEC, 0));
  const { uid } = statusOf(file);
  // its owner could change the mode
  const writable =
    uid === effectiveUser() || trySyscall("faccessat2", AT_FDCWD, EXECUTABLE, W_OK, AT_EACCESS) === 0;
  if (!writable) return file;
  using source = file;
  const size = Number(statusOf(source).size);
  return sealedProgram("hako", (copy) => {
    for (let done = 0; done < size; )
      done += syscall("sendfile", copy.number, source.number, null, size - done);
  });
}
