import { asHakoError, HakoError } from "../errors";
import { allOverExecutionSteps } from "../linux/capabilities";
import { closeStep, executeStep, inheritSteps, ownerSteps } from "../linux/child-steps";
import { cloneCall, cloneChild, cloneName, Reports, SIBLING } from "../linux/clone";
import type { Explanation } from "../linux/execution-error";
import type { Fd } from "../linux/fd";
import { forbidExecution } from "../linux/memfd";
import { O, openAt } from "../linux/path";
import { Pipe } from "../linux/pipe";
import {
  childEnded,
  hideProcess,
  hideStep,
  isChild,
  nameStep,
  openChild,
  parentDeathStep,
  reapChild,
  signalProcess,
  startTimeOf,
} from "../linux/process";
import { RemoteProcess, SharedRange } from "../linux/remote-process";
import { effectiveUser } from "../linux/rootless";
import { writeAll } from "../linux/socket";
import { type Step, stepError } from "../linux/steps";
import { systemError } from "../linux/syscall";
import type { Config } from "../oci/config";
import { keepsGroups } from "../oci/groups";
import { type NamespacePlan, writeIdMaps } from "./namespaces";
import { setOutOfMemoryScore } from "./out-of-memory-score";
import { ownerOf } from "./owner";
import { STAGE_NAME } from "./stage-name";

const SIGKILL = 9;

/** What a container's process is born with. */
export interface BirthPlan {
  config: Config;
  namespaces: NamespacePlan;
  /** The directory of the v2 cgroup that it is born in; ours if undefined. */
  born: string | undefined;
  /** How many of the caller's descriptors from 3 on it has. */
  preserveFds: number;
  /** Other descriptors that it has, by the same numbers. */
  keep: readonly Fd[];
  /** What else is known of its end, with the signal that ended it. */
  explainEnd(signal: number | undefined): Explanation;
}

/** A container's first process until it is left to itself; killed with its owner's end unless it was released. */
export class BornProcess implements Disposable {
  readonly remote: RemoteProcess;
  #released = false;
  #pid: number;
  #startTime: number;
  #pidfd: Fd | undefined;

  constructor(
    pid: number,
    range: SharedRange,
    private readonly explainEnd: BirthPlan["explainEnd"],
  ) {
    this.#pid = pid;
    this.#startTime = startTimeOf(pid);
    this.#pidfd = openChild(pid);
    this.remote = new RemoteProcess(range, {
      ended: () => this.#pidfd === undefined || childEnded(this.#pidfd),
      death: () => this.#death(),
    });
  }

  get pid(): number {
    return this.#pid;
  }

  get startTime(): number {
    return this.#startTime;
  }

  /** A descriptor of it (pidfd_open(2)). */
  get descriptor(): Fd {
    if (this.#pidfd === undefined) throw this.#death();
    return this.#pidfd;
  }

  /** Makes a copy of itself in what it has joined for its children, with what else `flags` say, and ends: this is the copy from now on. */
  rebirth(flags: number): void {
    const pid = this.remote.birth(cloneCall(BigInt(flags >>> 0) | SIBLING, 0));
    if (pid < 0) throw systemError(cloneName(), -pid);
    // whoever can get at the new process could say this too
    if (pid === this.#pid || !isChild(pid))
      throw new HakoError({ code: "system", message: "the process that joins namespaces has died" });
    reapChild(this.#pid, true);
    this.#pidfd?.close();
    this.#pid = pid;
    this.#startTime = startTimeOf(pid);
    this.#pidfd = openChild(pid);
  }

  /** Does something as this process: in its namespaces, with its root directory, its identity and its descriptors. */
  act<T>(action: () => T): T {
    return this.remote.act(action);
  }

  /** From now on it goes its way, whatever becomes of this one. */
  release(): void {
    this.#released = true;
    this.#pidfd?.close();
  }

  /** Why it has ended without a word. */
  #death(): HakoError {
    const ending = reapChild(this.#pid, true);
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
    signalProcess(this.#pid, this.#startTime, SIGKILL, true);
    this.#pidfd?.close();
    reapChild(this.#pid, true);
  }
}

/**
 * Makes a container's first process in its namespaces. It runs nothing of ours but the program of a remote process, and never
 * in a namespace that others are in already: with something to join, that is executed outside, so that its memory stays that
 * of our user namespace (mm->user_ns) and out of reach for whoever has CAP_SYS_PTRACE in the joined one.
 */
export function bear(plan: BirthPlan): BornProcess {
  const { namespaces } = plan;
  using range = SharedRange.make();
  const created = namespaces.created.has("user");
  // without the right to look at any process, an ordinary user needs one that its own user namespace owns
  const outside = namespaces.joins || (created && effectiveUser() === 0);
  const process = outside ? bornOutside(plan, range) : bornInside(plan, range);
  try {
    if (outside && created) writeMaps(process.pid, plan.config);
    // before it hides, for an ordinary user
    setOutOfMemoryScore(process.pid, plan.config.process?.oomScoreAdj);
    const owner = outside && namespaces.has("user") ? ownerStepsOf(plan.config) : [];
    process.remote.perform([
      ...owner,
      // a change of identity undoes both
      parentDeathStep(SIGKILL),
      hideStep(),
      nameStep(STAGE_NAME),
      ...lateSteps(namespaces),
    ]);
    return process;
  } catch (error) {
    process[Symbol.dispose]();
    throw error;
  }
}

/** Becomes who makes things in the user namespace. */
function ownerStepsOf(config: Config): Step[] {
  return ownerSteps(keepsGroups(config), ownerOf(config));
}

function writeMaps(pid: number, { linux }: Config): void {
  writeIdMaps(pid, "/linux", linux ?? {});
}

/** Namespaces that the process makes itself, when it has an identity in its user namespace. */
function lateSteps({ lateFlags }: NamespacePlan): Step[] {
  return lateFlags === 0 ? [] : [{ what: "unshare", call: "unshare", args: [lateFlags] }];
}

/** Until it is executed; the range's descriptor stays open, and these. */
function executionSteps(preserveFds: number, range: SharedRange, keep: readonly Fd[], program: Fd): Step[] {
  return [
    { what: "chdir /", call: "chdir", args: ["/"] },
    ...inheritSteps(preserveFds, [range.file, ...keep]),
    executeStep(program, ["hako", "init"], []),
  ];
}

/** Born in its new namespaces, and executed there: nobody else is in them. */
function bornInside(plan: BirthPlan, range: SharedRange): BornProcess {
  const { namespaces, config, born, explainEnd, keep } = plan;
  using program = range.program();
  using go = namespaces.created.has("user") ? new Pipe("pipe to the container's process") : undefined;
  const steps: Step[] = [parentDeathStep(SIGKILL)];
  if (go !== undefined) {
    steps.push(
      { what: "close", call: "close", args: [go.write.number] },
      { what: "wait for id maps", call: "read", args: [go.read.number, new Uint8Array(1), 1], least: 1 },
      ...ownerStepsOf(config),
      // who is not root there loses them when it executes
      ...(ownerOf(config).uid === 0 ? [] : allOverExecutionSteps()),
    );
  }
  steps.push(...executionSteps(plan.preserveFds, range, keep, program));
  using reports = new Reports(steps);
  // an ordinary user could not write the maps of a process that nobody may look at; it is alone in its namespaces yet
  if (go === undefined) hideProcess();
  const cloned = { flags: namespaces.flags, steps, waitsForNothing: go === undefined };
  const pid = explained(plan, () => cloneIn(born, cloned, reports));
  const process = new BornProcess(pid, range, explainEnd);
  try {
    if (go !== undefined) {
      writeMaps(pid, config);
      writeAll(go.write, new Uint8Array(1));
    }
    awaitExecution(reports, steps, program);
    return process;
  } catch (error) {
    process[Symbol.dispose]();
    throw error;
  }
}

/** Executed in our namespaces, where it joins others, and makes a copy of itself that is born in all of them. */
function bornOutside(plan: BirthPlan, range: SharedRange): BornProcess {
  const { namespaces, born, explainEnd } = plan;
  const joined = namespaces.joined.filter(({ type }) => type !== "mount").map(({ fd }) => fd);
  using program = range.program();
  const keep = [...plan.keep, ...joined];
  const steps = [parentDeathStep(SIGKILL), ...executionSteps(plan.preserveFds, range, keep, program)];
  using reports = new Reports(steps);
  hideProcess();
  const made = explained(plan, () => cloneIn(born, { flags: 0, steps, waitsForNothing: true }, reports));
  const process = new BornProcess(made, range, explainEnd);
  try {
    awaitExecution(reports, steps, program);
    // who writes the maps of a new user namespace without any rights must be able to look at it
    const hidden = !namespaces.created.has("user") || effectiveUser() === 0;
    process.remote.perform([...(hidden ? [hideStep()] : []), ...namespaces.joinSteps]);
    explained(plan, () => process.rebirth(namespaces.flags));
    // what was joined is nothing to it, but for what it joins last
    process.remote.perform(joined.filter((fd) => fd !== namespaces.latePid).map(closeStep));
    return process;
  } catch (error) {
    process[Symbol.dispose]();
    throw error;
  }
}

/** Waits until the process is executed; from then on nobody can execute its program's file again. */
function awaitExecution(reports: Reports, steps: readonly Step[], program: Fd): void {
  const failed = reports.last();
  if (failed !== undefined) throw stepError(steps, failed);
  forbidExecution(program);
}

function cloneIn(
  born: string | undefined,
  plan: { flags: number; steps: readonly Step[]; waitsForNothing: boolean },
  reports: Reports,
): number {
  using cgroup = born === undefined ? undefined : openAt(undefined, born, O.RDONLY | O.DIRECTORY | O.CLOEXEC);
  return cloneChild({ ...plan, cgroup }, reports);
}

function explained<T>({ namespaces, born }: BirthPlan, action: () => T): T {
  try {
    return action();
  } catch (thrown) {
    const { explainClone } = require("../explain/clone") as typeof import("../explain/clone");
    const joinsPid = namespaces.joined.some(({ type }) => type === "pid");
    throw explainClone(asHakoError(thrown), { flags: namespaces.flags, born, joinsPid });
  }
}
