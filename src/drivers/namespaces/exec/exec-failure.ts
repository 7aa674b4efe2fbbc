import {
  attendanceError,
  CAME_TO,
  SIGNALLED,
  statusOfDigits,
} from "../../../linux/attendant/attendant-status";
import { Fd } from "../../../linux/call/fd";
import { trySyscall } from "../../../linux/call/syscall";
import { isChild, reapChild } from "../../../linux/process/process";
import { failureAt } from "../../../linux/remote/failed-step";
import { SharedRange } from "../../../linux/remote/shared-range";
import { diedBefore } from "./exec-process";
import type { ExecTold } from "./exec-told";
import { ProgramOutside } from "./program-outside";
import type { ExecOptions } from "./spawn-exec";

const SIGKILL = 9;

/** The process that this one is to tell of, for it was started again with this line; undefined if the line is another process's. */
export function toldExec(line: string): { told: ExecTold; status: number } | undefined {
  const [, json = "", digits = ""] = /^(.*\})([a-p]+)$/s.exec(line) ?? [];
  if (json === "") return undefined;
  const told = JSON.parse(json) as ExecTold;
  // no other process has this one's number, whatever environment it was given
  return told.own === process.pid ? { told, status: statusOfDigits(digits) } : undefined;
}

/**
 * Throws why the process of an exec did not execute its program; of one that was attended no longer it says so. What is in
 * the range is believed no more than a place in the table and a number can be.
 */
export function failureTold(
  { told, status }: { told: ExecTold; status: number },
  container: Pick<ExecOptions, "pid" | "rootfs" | "keepsGroups">,
): never {
  const { pid, range: number, table, steps, process } = told;
  // it has ended, unless its attendant was no longer one
  if (isChild(pid)) {
    trySyscall("kill", pid, SIGKILL);
    reapChild(pid, true);
  }
  if (status >= CAME_TO.unwritten) throw attendanceError(status, "the process");
  using range = SharedRange.of(new Fd(number));
  const failed = failureAt(range, table);
  if (failed === undefined) throw diedBefore(status - SIGNALLED);
  const program = new ProgramOutside({ ...container, process, homeOf: () => "/" });
  const own = steps.map(({ path, ...step }) => ({ ...step, args: path === undefined ? [] : [path] }));
  throw program.failure(own, failed);
}
