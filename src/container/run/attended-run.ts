import { driverOf } from "../../drivers";
import { attendedTerminal, takePlace } from "../../linux/attendant/attendant";
import { NO_POLL, type WayWord } from "../../linux/attendant/attendant-rows";
import type { AttendedTerminal } from "../../linux/attendant/attendant-terminal";
import type { SignalRecorder } from "../../linux/attendant/signal-recorder";
import { stringVector } from "../../linux/call/argument-memory";
import { O } from "../../linux/call/constants";
import type { Fd } from "../../linux/call/fd";
import { ownStrings } from "../../linux/file/caller-environment";
import { openAt } from "../../linux/file/path";
import { fileStatusOf } from "../../linux/file/stat";
import { monotonicMs } from "../../linux/kernel/clock";
import { type Filling, type StoredTemplate, type Template, templateOf } from "../../linux/steps/template";
import { leadsSandbox } from "../../oci/container-type";
import { MappingStore } from "../../state/mapping";
import type { Container, ContainerRecord, ProcessRecord } from "../../state/record";
import { containerDirectory } from "../../state/root";
import { passedOn } from "../io/forwarded-signals";
import { endedRunLine, type SeenRunning } from "./ended-run";
import type { ToldLimits } from "./limit-lines";
import type { RunAttendantWord } from "./run-attendant-rows";

/** Loaded on first use. */
const rare = {
  get guardedFiles() {
    return require("./guarded-files") as typeof import("./guarded-files");
  },
  get runAttendantRows() {
    return require("./run-attendant-rows") as typeof import("./run-attendant-rows");
  },
};

/** Set by build.ts: the attendant without a terminal. */
declare const HAKO_RUN_ATTENDANT: StoredTemplate<RunAttendantWord> | undefined;

/** How often a cgroup is waited for that is busy: for a moment after the death of its last process; else it won't become empty by waiting. */
const [BUSY_TRIES, FEW_TRIES] = [100, 3];

/** Whether this command, started again, has something to tell of the end: in any case, or where one of these happens. */
export type ToTell =
  | "end"
  | undefined
  | {
      /** A process was killed for lack of memory. */
      memory: boolean;
      /** A file that is guarded was replaced, or one made that would be. */
      guarded: boolean;
    };

export interface AttendedRun {
  root: string;
  record: ContainerRecord & { init: ProcessRecord };
  /** The container stays, stopped, after its end. */
  keep: boolean;
  /** The terminal that is to be connected to our standard streams. */
  master: Fd | undefined;
  /** Signals that came before. */
  recorder: SignalRecorder;
  /** Counts how often the program was stopped, if a first process of hako's tells. */
  stops: Fd | undefined;
  /** After the time it is killed. */
  limits: ToldLimits;
  /** A descriptor whose end is the container's end. */
  lifeline: Fd | undefined;
  tells: ToTell;
  since: SeenRunning;
  /** It needs this one for that. */
  report: Fd | undefined;
  /** From `planLeave`, where there was time for that. */
  plan: LeavePlan | undefined;
}

/** What can be known of an attendant before the program runs. */
export interface LeavePlan {
  /** The attendant without a terminal. */
  template: Template<RunAttendantWord> | undefined;
  removal: PlannedRemoval | undefined;
  /** Files of which something may be to be told, as `asWords` makes them. */
  guarded: Uint8Array[];
}

/** Plans what `leaveRun` does: nothing is opened or changed. */
export function planLeave({
  root,
  record,
  keep,
  tells,
}: Pick<AttendedRun, "root" | "keep" | "tells"> & { record: ContainerRecord }): LeavePlan {
  const { guarded = false } = typeof tells === "object" ? tells : {};
  // `takePlace` has them from there: they are read once
  for (const file of ["cmdline", "environ"] as const) ownStrings(file);
  return {
    template: typeof HAKO_RUN_ATTENDANT === "undefined" ? undefined : templateOf(HAKO_RUN_ATTENDANT),
    removal: keep || tells === "end" ? undefined : plannedRemoval({ root, record }),
    guarded: guarded ? rare.guardedFiles.guardedFilesOf(record).map(rare.guardedFiles.asWords) : [],
  };
}

/**
 * Leaves a running container to an attendant, which takes this process's place: it passes signals on and attends the terminal, and
 * removes the container after its end. What it can't do this command does, started again. Comes back only by throwing.
 */
export function leaveRun(run: AttendedRun): never {
  const { root, record, master, recorder, stops, limits, lifeline, tells, since, report } = run;
  const { template, removal: planned, guarded } = run.plan ?? planLeave(run);
  const { init } = record;
  // of its time some has gone by where hako has waited itself
  const left = limits.time && Math.ceil(Math.max(0, limits.time - (monotonicMs() - since.clock)));
  const terminal = attendedTerminal(master);
  const recorded = recorder.reader.number;
  const removal = planned && opened(planned);
  const { memory = false } = typeof tells === "object" ? tells : {};
  const killsFile = memory ? driverOf(record).memoryKillsFile({ root, record }) : undefined;
  const kept = [recorded, removal?.directory, stops?.number, lifeline?.number, report?.number];
  const descriptors = kept.filter((fd) => fd !== undefined);
  const signals = passedOn(stops !== undefined);
  takePlace(attendant(terminal, template), endedRunLine(record.id, init, since, limits, report), {
    ...{ signals, terminal, descriptors },
    fillings: {
      ...(removal ?? NO_REMOVAL),
      ...{ pid: init.pid, recorded, stops: stops?.number ?? NO_POLL, memory: killsFile ?? 0 },
      lifeline: lifeline?.number ?? NO_POLL,
      guarded: guarded.length === 0 ? 0 : stringVector(guarded),
      seconds: left === undefined ? -1 : Math.floor(left / 1000),
      nanoseconds: ((left ?? 0) % 1000) * 1e6,
    },
  });
}

function attendant(
  terminal: AttendedTerminal | undefined,
  template: LeavePlan["template"],
): Template<RunAttendantWord> {
  if (terminal === undefined && template !== undefined) return template;
  return rare.runAttendantRows.runAttendant(process.arch, terminal, terminal?.descriptors ?? []);
}

/** What is to be removed, as `RunAttendantWord`s. */
interface Removal extends Record<RemovalWord, Filling> {
  directory: number;
}
type RemovalWord = Exclude<
  RunAttendantWord,
  WayWord | "pid" | "recorded" | "stops" | "seconds" | "nanoseconds" | "lifeline" | "memory" | "guarded"
>;

const NO_REMOVAL: Removal = {
  ...{ directory: -1, path: 0, inode: 0 },
  ...{ kill: 0, cgroups: 0, tries: 0, above: 0 },
  ...{ mapping: 0, temporary: 0, directories: 0, store: 0 },
};

type PlannedRemoval = Omit<Removal, "directory" | "inode"> & { path: string };

/**
 * What there is of a container. undefined where the end is more than system calls: something must be asked or told, a program is run,
 * others go with it.
 */
function plannedRemoval(container: Container): PlannedRemoval | undefined {
  const { root, record } = container;
  if ((record.hooks?.poststop ?? []).length > 0 || leadsSandbox(record)) return undefined;
  // what others use of the rootfs has to be found out
  if (record.mountPoints !== undefined) return undefined;
  const made = driverOf(record).plainRemoval(container);
  if (made === undefined) return undefined;
  const {
    path: mapping,
    temporary,
    directories,
    store,
  } = new MappingStore(root).removal(record.id, record.sandbox);
  return {
    path: containerDirectory(root, record.id),
    kill: made.kill ?? 0,
    cgroups: stringVector(made.cgroups),
    tries: made.emptied ? BUSY_TRIES : FEW_TRIES,
    above: stringVector(made.above),
    ...{ mapping, temporary, directories: stringVector(directories), store },
  };
}

/** With the container's directory open, for the attendant. */
function opened(planned: PlannedRemoval): Removal {
  const directory = openAt(undefined, planned.path, O.RDONLY | O.DIRECTORY);
  return { ...planned, directory: directory.number, inode: fileStatusOf(directory).inode };
}
