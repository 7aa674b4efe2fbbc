import { stringVector } from "../../../linux/call/argument-memory";
import type { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { callerVariable } from "../../../linux/file/caller-environment";
import { capsetArguments, permittedCapabilities } from "../../../linux/process/capabilities";
import { noNewPrivilegesStep } from "../../../linux/process/credentials";
import { execveStep, repairSteps } from "../../../linux/process/execute";
import { callerOpenFiles, limitSteps } from "../../../linux/process/rlimit";
import { inheritSteps, replaceStep } from "../../../linux/steps/child-steps";

/** What the child does that becomes QEMU: of descriptors it has those of `others`, and of capabilities `rights`. */
export function qemuSteps(
  path: string,
  words: readonly string[],
  streams: { input: Fd; output: Fd },
  others: readonly Fd[],
  rights: bigint,
): Step[] {
  const search = callerVariable("PATH");
  const environment = search === undefined ? [] : [`PATH=${search}`];
  return [
    replaceStep("standard input", 0, streams.input),
    replaceStep("standard output", 1, streams.output),
    replaceStep("standard error", 2, streams.output),
    ...inheritSteps(0, others),
    { what: "chdir /", call: "chdir", args: ["/"] },
    ...repairSteps(callerOpenFiles()),
    // the guest's memory is not for a file of the host's
    ...limitSteps([{ name: "RLIMIT_CORE", what: "prlimit (core)", soft: 0n, hard: 0n }]),
    noNewPrivilegesStep(),
    // without new privileges execve gives root's program no more
    {
      what: "capset",
      call: "capset",
      args: capsetArguments(rights & permittedCapabilities()),
    },
    execveStep(path, stringVector([path, ...words]), stringVector(environment)),
  ];
}
