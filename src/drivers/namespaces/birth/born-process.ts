import { HakoError } from "../../../base/errors";
import type { Explanation } from "../../../explain/execution";
import { stringVector } from "../../../linux/call/argument-memory";
import { O, SIG } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { systemError } from "../../../linux/call/syscall";
import { openAt } from "../../../linux/file/path";
import {
  childEnded,
  endWithParentSteps,
  isChild,
  isHalted,
  openChild,
  reapChild,
  signalOpened,
  startTimeOf,
} from "../../../linux/process/process";
import type { RemoteProcess } from "../../../linux/remote/remote-process";
import type { SharedRange } from "../../../linux/remote/shared-range";
import { executeStep, inheritSteps } from "../../../linux/steps/child-steps";
import { cloneCall, cloneName, executeChild, SIBLING } from "../../../linux/steps/clone-child";

/** What a process of a container has when it executes the program that makes the calls which hako tells it. */
export interface Execution {
  /** The directory of the v2 cgroup that the process is born in; hako's own if undefined. */
  born: string | undefined;
  /** How many of the caller's descriptors from 3 on the process has. */
  preserveFds: number;
  /** Other descriptors that the process has, by the same numbers as in this one. */
  keep: readonly Fd[];
  /** What is known of the process's end beside the signal that ended it. */
  explainEnd(signal: number | undefined): Explanation;
}

/** A process of a container that is being made. Killed at disposal unless it was released. */
export class BornProcess implements Disposable {
  #released = false;
  #pid: number;
  #startTime: number | undefined;
  #pidfd: Fd | undefined;
  /** The process that this one is born by, while it has not been reaped. */
  #former: number | undefined;

  constructor(
    pid: number,
    readonly remote: RemoteProcess,
    private readonly explainEnd: Execution["explainEnd"],
  ) {
    this.#pid = pid;
    this.#pidfd = openChild(pid);
    remote.watch = {
      ended: () => this.#pidfd === undefined || childEnded(this.#pidfd),
      halted: () => isHalted(this.#pid),
      death: () => this.#death(),
    };
  }

  get pid(): number {
    return this.#pid;
  }

  get startTime(): number {
    this.#startTime ??= startTimeOf(this.#pid);
    return this.#startTime;
  }

  /** A descriptor of the process (pidfd_open(2)). */
  get descriptor(): Fd {
    if (this.#pidfd === undefined) throw this.#death();
    return this.#pidfd;
  }

  /** Has the process make a copy of itself, with new namespaces by `flags` and in those that it joined for its children, and end. From now on this object is the copy. */
  rebirth(flags: number): void {
    this.#replace(this.remote.birth(cloneCall(BigInt(flags >>> 0) | SIBLING, 0)));
    this.reapFormer();
  }

  /**
   * Waits for one that was told to make steps and then to bear a child for its end (`toldToBear`): this is that child from now on. The
   * error of a step of those is thrown. `reapFormer` waits for the end of the other one.
   */
  awaitChild(steps: readonly Step[]): void {
    this.#replace(this.remote.heard(steps));
  }

  #replace(pid: number): void {
    if (pid < 0) throw systemError(cloneName(), -pid);
    // whoever can get at the new process could say this too
    if (pid === this.#pid || !isChild(pid))
      throw new HakoError({ code: "system", message: "the process that joins namespaces has died" });
    this.#end();
    this.#former = this.#pid;
    this.#pid = pid;
    this.#startTime = undefined;
    this.#pidfd = openChild(pid);
  }

  /** Kills the process, which has nothing left to do: somebody may have stopped it. */
  #end(): void {
    if (this.#pidfd !== undefined) signalOpened(this.#pidfd, SIG.KILL);
    this.#pidfd?.close();
  }

  reapFormer(): void {
    if (this.#former !== undefined) reapChild(this.#former, true);
    this.#former = undefined;
  }

  /** Does something as the process: in its namespaces, with its root directory, identity and descriptors. */
  act<T>(action: () => T): T {
    return this.remote.act(action);
  }

  /** From now on the process goes on, whatever becomes of hako. */
  release(): void {
    this.#released = true;
    this.#pidfd?.close();
    this.reapFormer();
  }

  /** The error for a process that has ended without a word. */
  #death(): HakoError {
    const ending = reapChild(this.#pid, false);
    const how =
      ending === undefined
        ? "has gone"
        : ending.signal === undefined
          ? `exited with status ${ending.status}`
          : `was killed by signal ${ending.signal}`;
    const { why, hint } = this.explainEnd(ending?.signal);
    const message = `the container's process ${how} before it was ready`;
    return new HakoError({
      code: "system",
      message: why === undefined ? message : `${message}: ${why}`,
      hint,
    });
  }

  [Symbol.dispose](): void {
    if (this.#released) return;
    this.#end();
    this.reapFormer();
    reapChild(this.#pid, true);
  }
}

/** Tells a process to make steps, then to clone a child of hako's that makes the prepared steps, and to end. */
export function toldToBear(remote: RemoteProcess, steps: readonly Step[]): void {
  remote.bear(steps, cloneCall(SIBLING, 0));
}

/** The steps up to the execution of that program. The range's descriptor stays open, and those of `keep`. */
export function executionSteps({ preserveFds, keep }: Execution, range: SharedRange, program: Fd): Step[] {
  return [
    { what: "chdir /", call: "chdir", args: ["/"] },
    ...inheritSteps(preserveFds, [range.file, ...keep]),
    executeStep(program, stringVector(["hako", "init"]), stringVector([])),
  ];
}

/**
 * A process that is executed in our own namespaces, whatever it joins then: its memory stays that of our user namespace
 * (mm->user_ns), and out of reach for whoever has CAP_SYS_PTRACE in what it joins. `program` is the range's.
 */
export function executedOutside(plan: Execution, remote: RemoteProcess, program: Fd): BornProcess {
  const steps: Step[] = [
    ...endWithParentSteps("whether hako is still there: getppid"),
    ...executionSteps(plan, remote.range, program),
  ];
  const pid = cloneInto(plan.born, (cgroup) => executeChild({ steps, cgroup }));
  return new BornProcess(pid, remote, plan.explainEnd);
}

/** Has `make` clone a child in a v2 cgroup, which is given by its directory. */
export function cloneInto<T>(born: string | undefined, make: (cgroup: Fd | undefined) => T): T {
  using cgroup = born === undefined ? undefined : openAt(undefined, born, O.RDONLY | O.DIRECTORY | O.CLOEXEC);
  return make(cgroup);
}
