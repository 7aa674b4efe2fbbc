import type { InferOutput } from "valibot";
import { driverOf } from "../drivers";
import { type Ending, endingOf, processStatus } from "../linux/process/process";
import { signalName } from "../linux/process/signals";
import type { endedDocument, endingDocument } from "../output/documents";
import { lockContainer } from "../state/lock";
import type { ProgramEnd } from "../state/program-end";
import { type Container, type EndRecord, readRecord, writeRecord } from "../state/record";

/** Loaded on first use. */
const rare = {
  get keptProcess() {
    return require("../state/kept-process") as typeof import("../state/kept-process");
  },
};

export type EndingAs = InferOutput<typeof endingDocument>;
export type Ended = InferOutput<typeof endedDocument>;

/** How a container that has stopped ended, from what is left of its first process, and what was written down. */
export function howItEnded(container: Container): Ended {
  const { root, record } = container;
  const told = toldEnd(container);
  if (told !== undefined) return { ...endedAs(container, told), finished: told.finished };
  const word = rare.keptProcess.keptExit(root, record.id) ?? unreaped(container);
  return endedAs(container, word === undefined ? undefined : endingOf(word));
}

/** The same, with what its first process was seen to end with. */
export function endedAs(container: Container, seen: Ending | undefined): Ended {
  const { record } = container;
  const { ended } = record;
  const signal = seen === undefined ? ended?.signal : seen.signal;
  return {
    ...endingAs(seen?.status ?? ended?.exitCode, signal, driverOf(record).spent(container).memoryKills),
    finished: ended?.finished ?? null,
  };
}

/** JSON of an exit status, of the number of the signal that it comes from, and of how many processes were killed for lack of memory. */
export function endingAs(
  status: number | undefined,
  signal: number | undefined,
  memoryKills: number | undefined,
): EndingAs {
  return {
    exitCode: status ?? null,
    signal: signal === undefined ? null : signalName(signal),
    oomKilled: memoryKills === undefined ? null : memoryKills > 0,
  };
}

/** What a first process ended with that its parent has not reaped yet, as wait4(2) would say it. */
export function unreaped({ record: { init } }: Container): number | undefined {
  const status = init === undefined ? undefined : processStatus(init.pid);
  return status?.startTime === init?.startTime && status?.state === "Z" ? status.ending : undefined;
}

/** The program's end, as a first process of hako's has told it, or a guest: that one ends with an exit status where the program died of a signal. */
export function toldEnd(container: Container): ProgramEnd | undefined {
  return driverOf(container.record).toldEnd(container);
}

/** Writes down how a container has just ended, unless it was deleted meanwhile, or somebody else has. */
export function noteEnd(
  { root, record }: Container,
  { status, signal }: Ending,
  finished = new Date().toISOString(),
): void {
  using lock = lockContainer(root, record.id);
  if (lock === undefined) return;
  const now = readRecord(root, record.id);
  if (now.init?.startTime !== record.init?.startTime || now.ended !== undefined) return;
  const ended: EndRecord = { exitCode: status, signal, finished };
  writeRecord(root, { ...now, ended });
}

/** For people: "3", "137 (KILL)", "137 (KILL, out of memory)", "unknown". */
export function endText({ exitCode, signal, oomKilled }: Ended): string {
  const why = [signal?.replace(/^SIG/, ""), oomKilled === true ? "out of memory" : undefined];
  const known = why.filter((each) => each !== undefined).join(", ");
  return `${exitCode ?? "unknown"}${known === "" ? "" : ` (${known})`}`;
}
