import { sizeText } from "../../base/size";
import type { MemoryShortage } from "../../cgroup/stats/shortage";
import { driverOf } from "../../drivers";
import { logFailure } from "../../output/log";
import type { RunEnd } from "../io/run-end";
import { tellTimeLimit } from "../io/time-limit";

/** The limits of a run whose end is told when they are reached. */
export interface ToldLimits {
  /** Milliseconds. */
  time: number | undefined;
  memory: boolean;
}

/** Says which limits have ended the program, or a process of it: a line each. The exit status alone, 137 perhaps, doesn't tell. */
export function tellLimits({ container, spent, timedOut }: RunEnd, { time, memory }: ToldLimits): void {
  if (timedOut && time !== undefined) tellTimeLimit(time);
  if (memory && container !== undefined && (spent.memoryKills ?? 0) > 0)
    logFailure(shortageText(driverOf(container.record).memoryShortage(container)));
}

/** `undefined` where no limit of the container's, nor of a cgroup above it, explains that the kernel has killed. */
export function shortageText(shortage: MemoryShortage | undefined): string {
  if (shortage === undefined) return "a process was killed for lack of memory, of the host's perhaps";
  const { file, limit, of, cgroup } = shortage;
  const bytes = Number(limit);
  const what = file.includes("memsw") ? "limit of memory and swap" : "memory limit";
  const where = { container: "", cgroup: ` of cgroup ${cgroup}`, machine: " of the machine" };
  return `${what} of ${Number.isSafeInteger(bytes) ? sizeText(bytes) : limit}${where[of]} reached`;
}
