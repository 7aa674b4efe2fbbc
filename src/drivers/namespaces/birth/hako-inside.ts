import { stringVector } from "../../../linux/call/argument-memory";
import { SIG } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { callerEnvironment } from "../../../linux/file/caller-environment";
import { execveStep } from "../../../linux/process/execute";
import { NAMESPACE_FLAGS } from "../../../linux/process/namespace";
import { type Ending, parentDeathStep, reapChild } from "../../../linux/process/process";
import { inheritSteps } from "../../../linux/steps/child-steps";
import { cloneChild, Reports } from "../../../linux/steps/clone-child";

/** The child that executes hako again has only the standard streams of this process, and ends with it. */

/** Has hako executed in a user namespace, with these words after its name, by a process that has made these steps there; how it ended. */
export function executeInside(
  namespace: Fd,
  words: readonly string[],
  { before = [], inside }: { before?: readonly Step[]; inside: readonly Step[] },
): Ending | undefined {
  const steps: Step[] = [
    ...before,
    { what: "setns (user)", call: "setns", args: [namespace.number, NAMESPACE_FLAGS.user] },
    ...inside,
    parentDeathStep(SIG.KILL),
    ...inheritSteps(0, []),
    execveStep("/proc/self/exe", stringVector(["hako", ...words]), stringVector(callerEnvironment())),
  ];
  using reports = new Reports(steps);
  const pid = cloneChild({ flags: 0, cgroup: undefined, steps, waitsForNothing: false }, reports);
  const end = reapChild(pid, true);
  const failure = reports.failure();
  if (failure !== undefined) throw failure;
  return end;
}
