import { attendanceError, CAME_TO, statusOfDigits } from "../../linux/attendant/attendant-status";
import { SignalRecorder } from "../../linux/attendant/signal-recorder";
import type { Fd } from "../../linux/call/fd";
import { ownVariable } from "../../linux/file/caller-environment";
import { reapChild } from "../../linux/process/process";
import { type ContainerId, containerId } from "../../oci/id";
import { type ProcessRecord, readRecord } from "../../state/record";
import { hasDirectory } from "../../state/root";
import { FORWARDED } from "../io/forwarded-signals";
import type { ToldLimits } from "./limit-lines";

/** Loaded on first use. */
const rare = {
  get ended() {
    return require("../ended") as typeof import("../ended");
  },
  get delete() {
    return require("../delete") as typeof import("../delete");
  },
};

/** Of a process that was started again: who it was, which container it had run, and what the attendant came to. */
const AGAIN = "HAKO_AGAIN_RUN";

/** What this process is to find in its environment when it is started again, up to the digits of what the attendant came to. */
export function endedRunLine(
  id: ContainerId,
  { startTime }: ProcessRecord,
  { began, clock }: SeenRunning,
  { time = 0, memory }: ToldLimits,
  report: Fd | undefined,
): string {
  const moment = [began, Math.round(1000 * clock)];
  const numbers = [...moment, Math.round(1000 * time), Number(memory), report?.number ?? 0].join(".");
  return `${AGAIN}=${process.pid}.${startTime}.${id}.${numbers}.`;
}

/** When hako saw a program run: in milliseconds since the epoch, and as `monotonicMs`. */
export interface SeenRunning {
  began: number;
  clock: number;
}

/** A run that an attendant has given back. */
export interface EndedRun extends SeenRunning {
  id: ContainerId;
  /** When the container's first process started, which tells it from others of its id. */
  startTime: number;
  limits: ToldLimits;
  /** The descriptor of the report, or 0. */
  report: number;
  /** Its exit status, or one of `CAME_TO` with an error number. */
  status: number;
}

/** The run that this process was started again to end; undefined in one that is to begin. */
export function endedRun(): EndedRun | undefined {
  const line = /^(\d+)\.(\d+)\.(.+)\.(\d+)\.(\d+)\.(\d+)\.([01])\.(\d+)\.([a-p]+)$/.exec(
    ownVariable(AGAIN) ?? "",
  );
  const [, pid, startTime, id = "", began, clock, time, memory, report, digits] = line ?? [];
  // no other process has this one's number, whatever environment it was given
  if (pid !== String(process.pid) || digits === undefined) return undefined;
  const numbers = {
    startTime: Number(startTime),
    began: Number(began),
    clock: Number(clock) / 1000,
    report: Number(report),
  };
  const limits = { time: Number(time) === 0 ? undefined : Number(time) / 1000, memory: memory === "1" };
  return { id: containerId(id), ...numbers, limits, status: statusOfDigits(digits) };
}

export interface EndedRunOptions {
  root: string;
  keep: boolean;
}

/** Does what is left to do after the end of a container that was run; its exit status. */
export function endEndedRun({ id, startTime, status }: EndedRun, { root, keep }: EndedRunOptions): number {
  const failed = status >= CAME_TO.unwritten;
  // there is no program any more that they could go to, and they must not end this halfway
  using _ = new SignalRecorder(Object.values(FORWARDED));
  const ours = isOurs(root, id, startTime);
  if (ours && keep && !failed) noteItsEnd(root, id, status);
  else if (ours) rare.delete.deleteContainer({ root, id, force: true });
  if (!failed) return status;
  throw attendanceError(status, `container "${id}"`);
}

/** Reaps the first process of a container that stays, and writes down how it ended. */
function noteItsEnd(root: string, id: ContainerId, status: number): void {
  const record = readRecord(root, id);
  const ending = record.init === undefined ? undefined : reapChild(record.init.pid, false);
  const told = rare.ended.toldEnd({ root, record });
  rare.ended.noteEnd({ root, record }, told ?? ending ?? { status, signal: undefined }, told?.finished);
}

/** Whether what is there by this id is still the container that was run, or what is left of it. */
export function isOurs(root: string, id: ContainerId, startTime: number): boolean {
  try {
    return readRecord(root, id).init?.startTime === startTime;
  } catch {
    return hasDirectory(root, id);
  }
}
