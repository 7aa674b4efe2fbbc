import { errnoName } from "../../base/errno";
import type { HakoError } from "../../base/errors";
import { currentActor } from "../call/actor";
import { address, putNumber } from "../call/argument-memory";
import { CLONE, SIG } from "../call/constants";
import type { Fd } from "../call/fd";
import type { CloneSyscall, Step } from "../call/step";
import { systemError, trySyscall } from "../call/syscall";
import { stepError } from "../call/walk";
import { Pipe } from "../file/pipe";
import { waitFor } from "../file/poll";
import { reapChild } from "../process/process";
import { spawnFunction } from "./clone-code";
import { failureIn, type Report, type Spawned, tableOf, withTable } from "./table";

/** Loaded on first use. */
const rare = {
  get cloneByFlags() {
    return require("./clone-by-flags") as typeof import("./clone-by-flags");
  },
};

/** The child uses its parent's memory until it executes, and the parent waits. */
const IN_PLACE = BigInt(CLONE.VM | CLONE.VFORK);
/** CLONE_PARENT: the child of a process becomes its sibling. */
export const SIBLING = 0x00008000n;
const CLONE_CLEAR_SIGHAND = 0x100000000n;
const CLONE_INTO_CGROUP = 0x200000000n;
const NO_REPORT = -1;
const CLONE_ARGS_SIZE = 88;

export interface ChildPlan {
  /** CLONE_NEW* flags of the child's new namespaces. */
  flags: number;
  /** The v2 cgroup that the child is born in; ours if undefined. */
  cgroup: Fd | undefined;
  /** What the child does. The last step must execute a program or end: nothing comes after it. */
  steps: readonly Step[];
  /**
   * The child needs nothing more from hako before it executes a program. So it may use hako's memory, which need not be copied,
   * while hako waits.
   */
  waitsForNothing: boolean;
  /**
   * It waits for hako, and may use hako's memory meanwhile: none of its steps changes what a process may be looked at by, which would hold for
   * hako too (credentials of another user; kernel/cred.c, commit_creds). `reports` keeps what the steps point to.
   */
  sharesMemory?: boolean;
}

/** struct clone_args (clone(2)). */
function cloneArguments(flags: bigint, exitSignal: number, cgroup?: Fd): Int32Array {
  const args = new Int32Array(CLONE_ARGS_SIZE / 4);
  const into = cgroup === undefined ? 0n : CLONE_INTO_CGROUP;
  // handlers of ours must not run in the child, which is not to touch anything
  putNumber(args, 0, Number(flags | CLONE_CLEAR_SIGHAND | into));
  putNumber(args, 4, exitSignal);
  putNumber(args, 10, cgroup?.number ?? 0);
  return args;
}

/** Where a child that fails says so; at its end nobody is left who could. */
export class Reports implements Disposable {
  // never waited on: what a child had to say is there when it has ended
  readonly #ends = new Pipe("reports of a child", true);
  readonly #steps: readonly Step[];
  /** Memory that the child uses until it has executed its program or has ended. */
  held: unknown;

  constructor(steps: readonly Step[]) {
    this.#steps = steps;
  }

  /** What the child writes to. */
  get write(): Fd {
    return this.#ends.write;
  }

  get number(): number {
    return this.#ends.write.number;
  }

  /** The next report; undefined if there is none. */
  next(): Report | undefined {
    const words = new BigInt64Array(2);
    const length = trySyscall("read", this.#ends.read.number, words, 16);
    return length === 16 ? [Number(words[0]), Number(words[1])] : undefined;
  }

  /** Waits until the child has executed its program or has ended; returns what it reported if a step of its failed. */
  last(): Report | undefined {
    // ours would keep the pipe open
    this.#ends.write.close();
    waitFor(this.#ends.read, "read", Number.POSITIVE_INFINITY);
    return this.next();
  }

  /** The error of a child that has ended before it executed anything; undefined if it did execute. */
  failure(): HakoError | undefined {
    const report = this.next();
    return report === undefined ? undefined : stepError(this.#steps, report);
  }

  [Symbol.dispose](): void {
    this.#ends[Symbol.dispose]();
  }
}

/** Makes a child of whoever acts, in new namespaces, that makes the steps; returns its pid as the actor sees it. */
export function cloneChild(plan: ChildPlan, reports: Reports): number {
  const { steps, cgroup } = plan;
  const flags = BigInt(plan.flags >>> 0) | sharing(plan);
  const actor = currentActor();
  const pid =
    actor === undefined
      ? spawn(reports.number, steps, flags, cgroup, reports).pid
      : actor.clone(cloneCall(flags, SIG.CHLD), steps, reports.number, 0);
  if (pid < 0) throw systemError(cloneName(), -pid);
  return pid;
}

/**
 * Makes a child that shares hako's memory (CLONE_VM, CLONE_VFORK), and returns its pid when the last step has executed a
 * program. If a step fails, its error is thrown, and nothing is left of the child.
 */
export function executeChild({ steps, cgroup }: Pick<ChildPlan, "steps" | "cgroup">): number {
  const { pid, failed } = spawn(NO_REPORT, steps, IN_PLACE, cgroup);
  if (pid < 0) throw systemError(cloneName(), -pid);
  if (failed === undefined) return pid;
  reapChild(pid, true);
  throw stepError(steps, failed);
}

/** The arguments of clone3(2); where that can't be had, of clone(2), which knows no cgroup. */
export function cloneCall(flags: bigint, exitSignal: number, cgroup?: Fd): CloneSyscall {
  if (!hasClone3()) return { call: "clone", args: [flags | BigInt(exitSignal), 0] };
  return { call: "clone3", args: [cloneArguments(flags, exitSignal, cgroup), CLONE_ARGS_SIZE] };
}

let known: boolean | undefined;

/**
 * Whether clone3 can be had. The kernel may have none (before Linux 5.3), or a seccomp filter hides it, as docker's does,
 * because it can't see its flags.
 */
function hasClone3(): boolean {
  // no arguments are too short ones
  known ??= errnoName(-trySyscall("clone3", null, 0)) !== "ENOSYS";
  return known;
}

/** The call that makes processes here. */
export function cloneName(): "clone3" | "clone" {
  return hasClone3() ? "clone3" : "clone";
}

/**
 * Flags with which the child uses hako's memory until it executes, while hako waits as a rule: a copy would cost each of the two a fault for
 * each page.
 */
function sharing({ waitsForNothing, sharesMemory = false }: ChildPlan): bigint {
  if (waitsForNothing) return IN_PLACE;
  return sharesMemory && currentActor() === undefined && hasClone3() ? BigInt(CLONE.VM) : 0n;
}

/** Makes a child with these steps. */
function spawn(
  report: number,
  steps: readonly Step[],
  flags: bigint,
  cgroup?: Fd,
  holder?: { held: unknown },
): Spawned {
  if (!hasClone3()) {
    return rare.cloneByFlags.spawnByClone(report, steps, flags, cgroup);
  }
  const args = cloneArguments(flags, SIG.CHLD, cgroup);
  const table = tableOf(report, steps);
  if (holder !== undefined) holder.held = table;
  const pid = withTable(table, (at) => spawnFunction()(at, address(args), CLONE_ARGS_SIZE));
  return { pid, failed: failureIn(table) };
}
