import { HakoError } from "../errors";
import { executeStep, inheritSteps } from "./child-steps";
import { cloneChild, cloneName, type Reports, siblingStep } from "./clone";
import type { Fd } from "./fd";
import { launcher } from "./launcher";
import { forbidExecution } from "./memfd";
import { isChild, parentDeathStep, reapChild } from "./process";
import { type Step, stepError } from "./steps";
import { systemError, trySyscall } from "./syscall";

const SIGKILL = 9;

/** How a process is made that a container can see before it has executed its program. */
export interface LaunchPlan {
  /** The v2 cgroup that it is born in; ours if undefined. */
  cgroup: Fd | undefined;
  /** What a process makes that makes the other one, and ends. */
  joiner: readonly Step[];
  /** What that makes; the last one is an execve that doesn't come back. */
  program: readonly Step[];
  /** How many of the caller's descriptors from 3 on it has. */
  preserveFds: number;
  /** Descriptors that the steps use. */
  keep: readonly Fd[];
}

/** The first of the two processes, and what it made before its program. */
export interface Started {
  joiner: number;
  first: readonly Step[];
}

function joinerSteps({ joiner }: LaunchPlan): Step[] {
  return [...joiner, siblingStep()];
}

/** Makes the first process; what becomes of it is known from its reports. */
export function start(plan: LaunchPlan, reports: Reports): Started {
  const { cgroup, program, preserveFds, keep } = plan;
  const joiner = joinerSteps(plan);
  using image = launcher(reports.number, [...joiner, ...program], -joiner.length);
  const first = [
    ...inheritSteps(preserveFds, [reports.write, ...keep]),
    parentDeathStep(SIGKILL),
    executeStep(image, ["hako"], []),
  ];
  const before = first.length + joiner.length;
  const own = { steps: first, first: -before, flags: 0, cgroup, waitsForNothing: true };
  const joining = cloneChild(own, reports);
  // it has executed the program; the other process waits for us before it executes its own
  forbidExecution(image);
  return { joiner: joining, first };
}

/**
 * Makes a process with the steps of a plan, and returns its pid as this process sees it; it is our child. Both processes run a
 * program that only makes system calls: nobody who looks at them finds our memory or our executable (CVE-2019-5736).
 * In reports the steps of `program` are numbered from 0.
 */
export function launch(plan: LaunchPlan, reports: Reports): number {
  const { joiner, first } = start(plan, reports);
  reapChild(joiner, true);
  const steps = [...first, ...joinerSteps(plan), ...plan.program];
  const before = steps.length - plan.program.length;
  let pid: number | undefined;
  for (let report = reports.next(); report !== undefined; report = reports.next()) {
    const [step, result] = report;
    if (step === -1 && result > 0) {
      // whoever can get at the program's process could say this too
      if (isChild(result)) pid = result;
      continue;
    }
    if (pid !== undefined) {
      // a forged report comes from one that lives
      trySyscall("kill", pid, SIGKILL);
      reapChild(pid, true);
    }
    if (step === -1) throw systemError(cloneName(), -result);
    throw stepError(steps, [before + step, result]);
  }
  if (pid !== undefined) return pid;
  throw new HakoError({ code: "system", message: "the process that joins namespaces has died" });
}
