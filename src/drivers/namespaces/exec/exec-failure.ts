import {
  attendanceError,
  CAME_TO,
  SIGNALLED,
  statusOfDigits,
} from "../../../linux/attendant/attendant-status";
import { SIG } from "../../../linux/call/constants";
import { Fd } from "../../../linux/call/fd";
import { trySyscall } from "../../../linux/call/syscall";
import { isChild, reapChild } from "../../../linux/process/process";
import { failureAt } from "../../../linux/remote/failed-step";
import { SharedRange } from "../../../linux/remote/shared-range";
import { keepsGroups } from "../../../oci/groups";
import type { ToldExec } from "../../interface/exec-told";
import type { LivingContainer } from "../../interface/living";
import { ProgramOutside } from "./program-outside";
import { diedBefore } from "./waiting-exec";

/**
 * Why the process of an exec did not execute its program; of one that was attended no longer it says so. What is in
 * the range is believed no more than a place in the table and a number can be.
 */
export function failureTold(
  { told, digits }: ToldExec,
  { init, rootfs, config }: Pick<LivingContainer, "init" | "rootfs" | "config">,
): Error {
  const { pid, range: number, table, steps, process } = told;
  const status = statusOfDigits(digits);
  // it has ended, unless its attendant was no longer one
  if (isChild(pid)) {
    trySyscall("kill", pid, SIG.KILL);
    reapChild(pid, true);
  }
  if (status >= CAME_TO.unwritten) return attendanceError(status, "the process");
  using range = SharedRange.of(new Fd(number));
  const failed = failureAt(range, table);
  if (failed === undefined) return diedBefore(status - SIGNALLED);
  const program = new ProgramOutside({
    pid: init.pid,
    rootfs,
    keepsGroups: keepsGroups(config),
    process,
    homeOf: () => "/",
  });
  const own = steps.map(({ path, ...step }) => ({ ...step, args: path === undefined ? [] : [path] }));
  return program.failure(own, failed);
}
