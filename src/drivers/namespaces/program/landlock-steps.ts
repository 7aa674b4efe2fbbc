import { O } from "../../../linux/call/constants";
import type { Step } from "../../../linux/call/step";
import { openAt } from "../../../linux/file/path";
import { ALL, type AllowedDescriptor, ifItHasAPlace, Ruleset } from "../../../linux/process/landlock";

/**
 * Steps by which a process opens nothing any more that isn't in its root directory, whatever a descriptor or a working directory that leads out of it
 * would show (CVE-2024-21626), nor changes what is mounted where (landlock(7)). What it has `opened` stays open to it. Prepared by whoever acts, with
 * two more descriptors until it executes its program.
 */
export function landlockSteps(opened: readonly AllowedDescriptor[]): Step[] {
  const ruleset = new Ruleset({ network: false, scoped: false });
  const root = openAt(undefined, "/", O.PATH | O.DIRECTORY);
  const { restrictStep } = ruleset;
  const rules = ruleset.allowSteps({ number: root.number, access: ALL, isDirectory: true });
  const more = opened.flatMap((each) => ruleset.allowSteps(each)).map(ifItHasAPlace);
  root.release();
  ruleset.release();
  return [...rules, ...more, restrictStep];
}
