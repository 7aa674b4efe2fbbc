import { parseDuration } from "../../base/duration";
import { HakoError } from "../../base/errors";
import type { Arguments, ArgumentValues } from "../../cli/arguments";
import type { RunEnd } from "../../container/io/run-end";
import type { TimeLimitValues } from "../../container/io/time-limit";
import type { ToldLimits } from "../../container/run/limit-lines";
import type { RunReport } from "../../container/run/run-report";
import type { Fd } from "../../linux/call/fd";
import { callersLifeline } from "./lifeline";

/** Loaded on first use. */
const rare = {
  get limitLines() {
    return require("../../container/run/limit-lines") as typeof import("../../container/run/limit-lines");
  },
  get refusedLines() {
    return require("../../container/run/refused-lines") as typeof import("../../container/run/refused-lines");
  },
  get unprotected() {
    return require("../../container/run/unprotected") as typeof import("../../container/run/unprotected");
  },
  get runReport() {
    return require("../../container/run/run-report") as typeof import("../../container/run/run-report");
  },
};

/** The limit of setTimeout: a timer for longer ends at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Flags of `run` about the time that the program has, and about what is told of its end. */
export const WATCH_FLAGS = {
  timeout: {
    type: "string",
    keepsEmpty: true,
    valueHint: "TIME",
    description: "kill the container after this time, as 30 (seconds) or 1m30s; the exit status is then 124",
  },
  grace: {
    type: "string",
    valueHint: "TIME",
    description: "with --timeout: first ask its processes to end, by TERM; kill them after this time",
  },
  report: {
    type: "string",
    valueHint: "FILE|FD",
    description:
      "write a line of JSON to a file, or to a descriptor that you have opened: how it ended, what it used",
  },
  "die-with": {
    type: "string",
    keepsEmpty: true,
    valueHint: "FD",
    description:
      "kill the container when this command ends, by SIGKILL too, or when the other end of a pipe or socket that you have opened is closed, or the process of a pidfd has ended",
  },
  quiet: {
    type: "boolean",
    alias: "q",
    description:
      "don't say on standard error that a limit of time or memory was reached, what rules of --network refused, or what a policy could not protect",
  },
} as const satisfies Arguments;

type TimeArgumentValues = Pick<WatchArgumentValues, "timeout" | "grace" | "detach">;
type ReportArgumentValues = Pick<WatchArgumentValues, "report" | "detach">;
type LifelineArgumentValues = Pick<WatchArgumentValues, "die-with" | "detach">;
type WatchArgumentValues = ArgumentValues<typeof WATCH_FLAGS> & { detach: boolean };

function timeOf(flag: string, text: string): number {
  // as GNU's timeout has them: a plain number is seconds
  const milliseconds = parseDuration(/^\d+(\.\d+)?$/.test(text) ? `${text}s` : text);
  if (milliseconds !== undefined && milliseconds >= 1 && milliseconds <= LONGEST_TIMER_MS)
    return milliseconds;
  throw HakoError.usage(`--${flag}: ${JSON.stringify(text)} is not a time from 1ms to 596h, as 30 or 1m30s`);
}

/** How long the program may run. */
export function timeLimitOf({ timeout, grace, detach }: TimeArgumentValues): TimeLimitValues | undefined {
  if (timeout === undefined) {
    if (grace !== undefined)
      throw HakoError.usage("--grace needs --timeout", "hako stop --time asks one that runs");
    return undefined;
  }
  if (detach) throw HakoError.usage("--timeout and --detach: nothing stays that could wait");
  return {
    milliseconds: timeOf("timeout", timeout),
    grace: grace === undefined ? 0 : timeOf("grace", grace),
  };
}

/** What can be told of an end: of limits that the container has, of rules of its network, and of what its policy can't hold. */
interface Tellable {
  limits: ToldLimits;
  network: boolean;
  unprotected: boolean;
  report: RunReport | undefined;
}

/** What is done at the program's end; undefined if nothing is. */
export function atEndOf(
  { quiet }: Pick<WatchArgumentValues, "quiet">,
  { limits, network, unprotected, report }: Tellable,
): ((end: RunEnd) => void) | undefined {
  const told = !quiet && (limits.memory || network || unprotected || limits.time !== undefined);
  if (!told && report === undefined) return undefined;
  return (end) => {
    report?.ended(end);
    if (!told) return;
    rare.limitLines.tellLimits(end, limits);
    if (end.refused !== undefined) rare.refusedLines.tellRefused(end.refused);
    if (unprotected) rare.unprotected.tellUnprotected(end.about);
  };
}

/** The descriptor whose end is the program's. To be called when it is known which descriptors are the caller's: it takes a number. */
export function lifelineOf({ "die-with": digits, detach }: LifelineArgumentValues): Fd | undefined {
  if (digits !== undefined && detach)
    throw HakoError.usage("--die-with and --detach: nothing stays that could see the end");
  return callersLifeline(digits);
}

/** Runs with a report of the end, if one is asked for; `file` is where that goes, if it is open already. */
export async function withReport(
  { report: target, detach }: ReportArgumentValues,
  run: (report: RunReport | undefined) => Promise<number>,
  file?: Fd,
): Promise<number> {
  if (target === undefined) return await run(undefined);
  if (detach) throw HakoError.usage("--report and --detach: nothing stays that could see the end");
  using report = new rare.runReport.RunReport(target, file);
  return await report.of(() => run(report));
}
