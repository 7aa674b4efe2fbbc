import { asHakoError } from "../../../base/errors";
import { SIG } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { stepError } from "../../../linux/call/walk";
import { forbidExecution } from "../../../linux/file/memfd";
import { Pipe } from "../../../linux/file/pipe";
import { writeAllWaiting } from "../../../linux/file/stream";
import { allOverExecutionSteps } from "../../../linux/process/capabilities";
import { hideProcess, hideStep, nameStep, parentDeathStep } from "../../../linux/process/process";
import { maySetUpAlone } from "../../../linux/process/rootless";
import { RemoteProcess } from "../../../linux/remote/remote-process";
import { SharedRange } from "../../../linux/remote/shared-range";
import { closeStep, ownerSteps } from "../../../linux/steps/child-steps";
import { cloneChild, Reports } from "../../../linux/steps/clone-child";
import type { Config } from "../../../oci/config";
import { keepsGroups } from "../../../oci/groups";
import { BornProcess, cloneInto, type Execution, executedOutside, executionSteps } from "./born-process";
import { type NamespacePlan, writeIdMaps } from "./namespaces";
import { setOutOfMemoryScore } from "./out-of-memory-score";
import { STAGE_NAME } from "./stage-name";
import { hostOwnerOf, ownerOf } from "./user-namespace-owner";

/** Loaded on first use. */
const rare = {
  get explainClone() {
    return require("../../../explain/clone") as typeof import("../../../explain/clone");
  },
};

/** What a container's process is born with. */
export interface BirthPlan extends Execution {
  config: Config;
  namespaces: NamespacePlan;
  /** One of `keep`. Its other end is hako's alone: when that is closed, the process ends. */
  way: Fd;
}

/**
 * Makes a container's first process in its namespaces. It runs nothing of ours but the program of a remote process, and never
 * in a namespace that others are in already: with something to join, that is executed outside, so that its memory stays that
 * of our user namespace (mm->user_ns) and out of reach for whoever has CAP_SYS_PTRACE in the joined one.
 */
export function bear(plan: BirthPlan): BornProcess {
  const { namespaces } = plan;
  using range = SharedRange.make();
  range.lifeline = plan.way.number;
  const created = namespaces.created.has("user");
  // without the right to look at any process, an ordinary user needs one that its own user namespace owns
  const outside = namespaces.joins || (created && maySetUpAlone());
  const process = outside ? bornOutside(plan, range) : bornInside(plan, range);
  try {
    if (outside && created) writeMaps(process.pid, plan.config);
    // before it hides, for an ordinary user
    setOutOfMemoryScore(process.pid, plan.config.process?.oomScoreAdj);
    const owner = outside && namespaces.has("user") ? ownerStepsOf(plan.config) : [];
    process.remote.perform([
      ...owner,
      // a change of identity undoes both
      parentDeathStep(SIG.KILL),
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

/** Steps by which the process takes the ids that own what it makes in the user namespace. */
export function ownerStepsOf(config: Config): Step[] {
  return ownerSteps(keepsGroups(config), ownerOf(config));
}

function writeMaps(pid: number, { linux }: Config): void {
  writeIdMaps(pid, "/linux", linux ?? {});
}

/** Steps to the namespaces that the process makes itself, when it has ids of its user namespace. */
function lateSteps({ lateFlags }: NamespacePlan): Step[] {
  return unshareSteps(lateFlags);
}

export function unshareSteps(flags: number): Step[] {
  return flags === 0 ? [] : [{ what: "unshare", call: "unshare", args: [flags] }];
}

/** A process that is born in its new namespaces, and executes its program there: nobody else is in them. */
function bornInside(plan: BirthPlan, range: SharedRange): BornProcess {
  const { namespaces, config, born, explainEnd } = plan;
  using program = range.program();
  using go = namespaces.created.has("user") ? new Pipe("pipe to the container's process") : undefined;
  const steps: Step[] = [parentDeathStep(SIG.KILL)];
  if (go !== undefined) {
    steps.push(
      { what: "close", call: "close", args: [go.write.number] },
      {
        what: "wait for id maps",
        call: "read",
        args: [go.read.number, new Uint8Array(1), 1],
        success: { atLeast: 1 },
      },
      ...ownerStepsOf(config),
      // who is not root there loses them when it executes
      ...(ownerOf(config).uid === 0 ? [] : allOverExecutionSteps()),
    );
  }
  steps.push(...executionSteps(plan, range, program));
  using reports = new Reports(steps);
  // an ordinary user could not write the maps of a process that nobody may look at; it is alone in its namespaces yet
  if (go === undefined) hideProcess();
  const { flags } = namespaces;
  const pid = explained(plan, () =>
    cloneInto(born, (cgroup) =>
      cloneChild(
        { flags, steps, cgroup, waitsForNothing: go === undefined, sharesMemory: isOwnUser(config) },
        reports,
      ),
    ),
  );
  const process = new BornProcess(pid, new RemoteProcess(range), explainEnd);
  try {
    if (go !== undefined) {
      writeMaps(pid, config);
      writeAllWaiting(go.write, new Uint8Array(1));
    }
    const failed = reports.last();
    if (failed !== undefined) throw stepError(steps, failed);
    forbidExecution(program);
    return process;
  } catch (error) {
    process[Symbol.dispose]();
    throw error;
  }
}

/** Whether who owns the container's user namespace is, on the host, who has called. */
function isOwnUser(config: Config): boolean {
  const owner = hostOwnerOf(config);
  return owner?.uid === process.geteuid?.() && owner?.gid === process.getegid?.();
}

/** A process that executes its program in hako's namespaces, joins others, and clones a copy of itself which is born in those and in the new ones. */
function bornOutside(plan: BirthPlan, range: SharedRange): BornProcess {
  const { namespaces } = plan;
  const joined = namespaces.joined.filter(({ type }) => type !== "mount").map(({ fd }) => fd);
  hideProcess();
  using program = range.program();
  const process = explained(plan, () =>
    executedOutside({ ...plan, keep: [...plan.keep, ...joined] }, new RemoteProcess(range), program),
  );
  try {
    forbidExecution(program);
    // who writes the maps of a new user namespace without any rights must be able to look at it
    const hidden = !namespaces.created.has("user") || maySetUpAlone();
    process.remote.perform([...(hidden ? [hideStep()] : []), ...namespaces.joinSteps]);
    // one that will be in a pid namespace which it joins is born there at last: until then it stays what it is
    if (namespaces.latePid === undefined) explained(plan, () => process.rebirth(namespaces.flags));
    else explained(plan, () => process.remote.perform(unshareSteps(namespaces.flags)));
    // what was joined is nothing to it, but for what it joins last
    process.remote.perform(joined.filter((fd) => fd !== namespaces.latePid).map(closeStep));
    return process;
  } catch (error) {
    process[Symbol.dispose]();
    throw error;
  }
}

function explained<T>({ namespaces, born }: BirthPlan, action: () => T): T {
  try {
    return action();
  } catch (thrown) {
    const joinsPid = namespaces.joined.some(({ type }) => type === "pid");
    throw rare.explainClone.explainClone(asHakoError(thrown), { flags: namespaces.flags, born, joinsPid });
  }
}
