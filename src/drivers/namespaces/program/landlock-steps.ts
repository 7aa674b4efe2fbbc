import { HakoError } from "../../../base/errors";
import { O } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { perform } from "../../../linux/call/walk";
import { openAt } from "../../../linux/file/path";
import {
  ALL,
  type AllowedDescriptor,
  ifItHasAPlace,
  landlockAbi,
  Ruleset,
} from "../../../linux/process/landlock";

/** Signals and sockets are kept in by namespaces; what `exec` runs is in a domain of its own, and signals the others. */
const KEPT_ELSEWHERE = { network: false, scoped: false };

/**
 * Steps by which a process opens nothing any more that isn't in its root directory, whatever a descriptor or a working directory that leads out of it
 * would show (CVE-2024-21626), nor changes what is mounted where (landlock(7)). What it has `opened` stays open to it. Prepared by whoever acts, with
 * two more descriptors until it executes its program.
 */
export function landlockSteps(opened: readonly AllowedDescriptor[]): Step[] {
  const ruleset = new Ruleset(KEPT_ELSEWHERE);
  const root = openAt(undefined, "/", O.PATH | O.DIRECTORY);
  const steps = [...ruleSteps(ruleset, root, opened), ruleset.restrictStep];
  root.release();
  ruleset.release();
  return steps;
}

/** The same ruleset for a process that comes to a container, whose root directory is given: that of the container's program, by its ABI. */
export function madeRuleset(abi: number, root: Fd, opened: readonly AllowedDescriptor[]): Ruleset {
  if (landlockAbi() < abi)
    throw new HakoError({
      code: "unsupported",
      message: `Landlock keeps the container's program in (ABI ${abi}), and can't be had here (ABI ${landlockAbi()})`,
      hint: "an outer seccomp filter hides it, perhaps: exec where the container was made",
    });
  const ruleset = new Ruleset({ ...KEPT_ELSEWHERE, abi });
  try {
    perform(ruleSteps(ruleset, root, opened));
    return ruleset;
  } catch (error) {
    ruleset[Symbol.dispose]();
    throw error;
  }
}

function ruleSteps(ruleset: Ruleset, root: Fd, opened: readonly AllowedDescriptor[]): Step[] {
  const below = ruleset.allowSteps({ number: root.number, access: ALL, isDirectory: true });
  return [...below, ...opened.flatMap((each) => ruleset.allowSteps(each)).map(ifItHasAPlace)];
}
