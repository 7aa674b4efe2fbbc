import { asHakoError, HakoError } from "../../base/errors";
import { driverOf } from "../../drivers";
import { CAME_TO } from "../../linux/attendant/attendant-status";
import { SignalRecorder } from "../../linux/attendant/signal-recorder";
import { O, SIG } from "../../linux/call/constants";
import { Fd } from "../../linux/call/fd";
import { syscall } from "../../linux/call/syscall";
import { socketPair } from "../../linux/file/unix-socket";
import { monotonicMs } from "../../linux/kernel/clock";
import { becomeSubreaper } from "../../linux/process/process";
import { isDebugging } from "../../output/log";
import { type ContainerRecord, type ProcessRecord, readRecord } from "../../state/record";
import type { Bundle } from "../bundle";
import { type CreateOptions, createContainer } from "../create";
import { connectConsoleSocket } from "../io/console-socket";
import type { WatchedEnding } from "../io/foreground";
import { passedOn } from "../io/forwarded-signals";
import type { RunEnd } from "../io/run-end";
import type { TimeLimitValues } from "../io/time-limit";
import { runPoststartHooks } from "../poststart";
import type { LeavePlan, ToTell } from "./attended-run";
import { type EndedRun, isOurs, type SeenRunning } from "./ended-run";
import type { ToldLimits } from "./limit-lines";

/**
 * How long a program whose end is to be told of is waited for before an attendant takes this command's place: to start this command again takes
 * longer than most such programs do.
 */
const SOON_MS = 250;

/** Loaded on first use. */
const rare = {
  /** Loaded for a program that is watched from here. */
  get foreground() {
    return require("../io/foreground") as typeof import("../io/foreground");
  },
  /** Who may take this process's place when the program runs. */
  get attendedRun() {
    return require("./attended-run") as typeof import("./attended-run");
  },
  /** For a container that is there after its end. */
  get keptProcess() {
    return require("../../state/kept-process") as typeof import("../../state/kept-process");
  },
  /** For one in the background whose output goes to a file. */
  get outputFile() {
    return require("../io/output-file") as typeof import("../io/output-file");
  },
  get ended() {
    return require("../ended") as typeof import("../ended");
  },
  get delete() {
    return require("../delete") as typeof import("../delete");
  },
  /** For a program that doesn't run yet when the container is there. */
  get start() {
    return require("../start") as typeof import("../start");
  },
  /** For one that reaches what rules allow, or whose ports lead elsewhere. */
  get servedNetwork() {
    return require("./served-network") as typeof import("./served-network");
  },
  get parentWatch() {
    return require("./parent-watch") as typeof import("./parent-watch");
  },
  get lifelineWatch() {
    return require("../io/lifeline-watch") as typeof import("../io/lifeline-watch");
  },
  get timeLimit() {
    return require("../io/time-limit") as typeof import("../io/time-limit");
  },
  get kill() {
    return require("../kill") as typeof import("../kill");
  },
};

export interface RunOptions extends Omit<CreateOptions, "consoleSocket" | "ownInit" | "diesWithMaker"> {
  consoleSocketPath: string | undefined;
  detach: boolean;
  /** The container stays, stopped, after its end. */
  keep: boolean;
  subreaper: boolean;
  /** hako's own first process has the program as its child; or it is idle, and there is none. */
  init: boolean | "idle";
  /** Called when the program runs, or the container is there for those of `exec`. */
  ready?: (() => void) | undefined;
  /** A signal that the program has no handler for ends it, as it would outside of a container. */
  signalsEnd: boolean;
  /** After which the container is killed. */
  timeLimit: TimeLimitValues | undefined;
  /** Those of which `atEnd` tells. */
  limits: ToldLimits;
  /** Told how the program ended, while its container is still there. */
  atEnd: ((end: RunEnd) => void) | undefined;
  /** When `atEnd` has something to tell. */
  tells: ToTell;
  /** What it writes to. */
  report: Fd | undefined;
  /** The container is killed when this process ends, or the one that has started it. */
  diesWithParent: boolean;
  /** A pipe, a socket or a pidfd: the container is killed when its other end is closed, its process has ended, or this process ends. */
  lifeline: Fd | undefined;
}

/**
 * create, start, and in the foreground the program to its end; returns the exit status. Where nothing has to be done while the
 * program runs but to pass on signals and what a terminal shows, it doesn't come back: a small program takes this one's place.
 */
export async function runContainer(options: RunOptions): Promise<number> {
  if (!options.diesWithParent || options.lifeline !== undefined) return await runHeld(options);
  using lifeline = rare.parentWatch.openParent();
  return await runHeld({ ...options, lifeline, diesWithParent: lifeline === undefined });
}

async function runHeld(options: RunOptions): Promise<number> {
  const { root, id, detach, keep, init, diesWithParent, lifeline } = options;
  // before the container, so that a parent that ends meanwhile is not missed
  using parent = diesWithParent ? new rare.parentWatch.ParentWatch() : undefined;
  const diesWithMaker = diesWithParent || lifeline !== undefined;
  const terminal = options.bundle.config.process?.terminal === true;
  if (terminal && options.output !== undefined)
    throw HakoError.usage(
      "--output and a terminal contradict each other",
      "what it shows goes to --console-socket",
    );
  const plan = options.bundle.network;
  using network = plan && new rare.servedNetwork.ServedNetwork(plan, options);
  using given = connectConsoleSocket(terminal, options.consoleSocketPath, detach);
  const [ours, theirs] =
    terminal && given === undefined ? socketPair("socket for the terminal") : [undefined, undefined];
  using receiver = ours;
  using sender = theirs;
  const bundle = sender === undefined ? options.bundle : sized(options.bundle);
  if (!detach && options.subreaper) becomeSubreaper();
  // one that has a terminal of its own stops there
  using stops = init === true && !detach && !terminal ? new Fd(syscall("eventfd2", 0, O.CLOEXEC)) : undefined;
  using signals = leavesTheProgram(options)
    ? new SignalRecorder(passedOn(stops !== undefined))
    : new rare.foreground.SignalForwarder(options.signalsEnd, stops);
  const ownInit = init === false ? undefined : { stops, idle: init === "idle" };
  // who has its terminal, or wants to know that it is ready, has to be there at its first moment
  const mayRun = !terminal && options.notifySocket === undefined && network === undefined;
  const { tells } = options;
  let leaving: LeavePlan | undefined;
  const becoming = (record: ContainerRecord) => {
    if (signals instanceof SignalRecorder && tells !== "end")
      leaving = rare.attendedRun.planLeave({ root, record, keep, tells });
  };
  const made = { ...options, bundle, ownInit, diesWithMaker, consoleSocket: given ?? sender, becoming };
  const create = () => createContainer(made, mayRun);
  const { record, runs } =
    options.output === undefined ? create() : rare.outputFile.withOutputTo(options.output, create);
  let deleted = keep;
  let started = false;
  try {
    if (detach || keep) rare.keptProcess.keepProcess(root, record);
    sender?.close();
    using master = receiver === undefined ? undefined : rare.foreground.receiveTerminal(receiver);
    if (hasProcess(record)) network?.begin({ root, record }, record.init);
    using relay = runs ? undefined : rare.start.startContainer(options);
    if (runs) runPoststartHooks({ root, record });
    started = true;
    options.ready?.();
    if (detach || !hasProcess(record)) {
      relay?.wait();
      deleted = true;
      return 0;
    }
    if (signals instanceof SignalRecorder)
      return leave({ ...options, stops, plan: leaving }, record, master, signals);
    using _ = relay?.watch();
    const watching = watch({ ...options, network }, record, master, signals, parent);
    return await (network?.until(watching) ?? watching);
  } catch (error) {
    deleted = false;
    throw error;
  } finally {
    if (!deleted) {
      rare.delete.deleteContainer({ root, id, force: true, alone: !started });
    }
  }
}

/**
 * Leaves a program that runs to a small one in place of this process, which doesn't come back. One that ends soon, and whose end is to be told of, is waited
 * for here: its exit status.
 */
function leave(
  options: RunOptions & { stops: Fd | undefined; plan: LeavePlan | undefined },
  record: ContainerRecord & { init: ProcessRecord },
  master: Fd | undefined,
  recorder: SignalRecorder,
): number {
  const { root, keep, stops, plan, lifeline, tells, report, limits } = options;
  const since = { began: Date.now(), clock: monotonicMs() };
  if (tells === "end" && master === undefined) {
    const others = [recorder.reader, stops, lifeline].filter((fd) => fd !== undefined);
    const soon = Math.min(SOON_MS, limits.time ?? SOON_MS);
    const ending = rare.foreground.endedSoon(record.init, others, soon);
    if (ending !== undefined) return tellEnd(options, record, ending, since, false);
  }
  const told = { tells, report, lifeline, limits, since, plan };
  return rare.attendedRun.leaveRun({ root, record, keep, master, recorder, stops, ...told });
}

function hasProcess(record: ContainerRecord): record is ContainerRecord & { init: ProcessRecord } {
  return record.init !== undefined;
}

/** Whether this process is not needed while the program runs. */
function leavesTheProgram(options: RunOptions): boolean {
  const { detach, init, diesWithParent, signalsEnd, notifySocket, bundle } = options;
  const watched =
    notifySocket !== undefined ||
    bundle.network !== undefined ||
    (init ? endsLate(options) : isTold(options));
  return !detach && !watched && !diesWithParent && !signalsEnd && !isDebugging();
}

function isTold({ timeLimit, atEnd }: RunOptions): boolean {
  return timeLimit !== undefined || atEnd !== undefined;
}

/** Whether an end that comes from outside is more than to kill the program: it is asked before, or what its terminal shows is waited for. */
function endsLate({ timeLimit, lifeline, bundle }: RunOptions): boolean {
  if (bundle.config.process?.terminal === true) return timeLimit !== undefined || lifeline !== undefined;
  return timeLimit !== undefined && timeLimit.grace > 0;
}

/** Goes on with a run whose attendant has given way to this process: tells of its end, also where its time was over. */
export async function resumeRun(
  ended: EndedRun,
  { root, keep, atEnd }: Pick<RunOptions, "root" | "keep" | "atEnd">,
): Promise<number> {
  const { id, startTime, status } = ended;
  using signals = new rare.foreground.SignalForwarder();
  const late = status === CAME_TO.late;
  if (!isOurs(root, id, startTime)) return late ? rare.timeLimit.TIMED_OUT : status;
  try {
    const record = readRecord(root, id);
    if (!hasProcess(record)) return status;
    const options = { root, id, keep, atEnd, timeLimit: undefined, lifeline: undefined };
    return await watch(options, record, undefined, signals, undefined, ended);
  } finally {
    if (!keep) rare.delete.deleteContainer({ root, id, force: true });
  }
}

type WatchedRun = Pick<RunOptions, "root" | "id" | "keep" | "timeLimit" | "lifeline" | "atEnd"> & {
  network?: InstanceType<typeof import("./served-network").ServedNetwork> | undefined;
};

/** Waits for the program's end, or until its time is over, as it was where an attendant has given way. */
async function watch(
  watched: WatchedRun,
  record: ContainerRecord & { init: ProcessRecord },
  master: Fd | undefined,
  forward: InstanceType<typeof import("../io/foreground").SignalForwarder>,
  parent: InstanceType<typeof import("./parent-watch").ParentWatch> | undefined,
  given?: EndedRun,
): Promise<number> {
  const { root, id, timeLimit, lifeline } = watched;
  const { waitForProgram } = rare.foreground;
  const since = given ?? { began: Date.now(), clock: monotonicMs() };
  const signalAll = (signal: number) => {
    try {
      rare.kill.killContainer({ root, id, signal, all: true });
    } catch (error) {
      // somebody has deleted it: its program has ended
      if (asHakoError(error).code !== "not-found") throw error;
    }
  };
  const kill = () => signalAll(SIG.KILL);
  parent?.onEnd(kill);
  using _ = lifeline && new rare.lifelineWatch.LifelineWatch(lifeline, kill);
  using limit =
    timeLimit === undefined
      ? undefined
      : new rare.timeLimit.TimeLimit(timeLimit, {
          // all processes, as timeout(1) does: a shell that waits for another one runs its trap only then
          ask: () => forward.endsBy(SIG.TERM) || signalAll(SIG.TERM),
          kill,
        });
  const waiting = waitForProgram(record.init, master, forward);
  const first = await (limit === undefined ? waiting : Promise.race([waiting, limit.failed]));
  const timedOut = limit?.over === true || given?.status === CAME_TO.late;
  return tellEnd(watched, record, first, since, timedOut);
}

/** Tells of the end of a program that was waited for, while its container is there; the exit status. */
function tellEnd(
  { root, keep, atEnd, network }: Omit<WatchedRun, "timeLimit" | "lifeline">,
  record: ContainerRecord,
  first: WatchedEnding | undefined,
  { began, clock }: SeenRunning,
  timedOut: boolean,
): number {
  const container = { root, record };
  const told = rare.ended.toldEnd(container);
  // what this command does after its end is not the program's time
  const wallMs = Math.max(0, (told?.clock ?? monotonicMs()) - clock);
  const ending = first && { ...first, ...told };
  if (keep && ending !== undefined) rare.ended.noteEnd(container, ending);
  const spent = driverOf(record).spent(container);
  const refused = network?.refused;
  const counted = { spent, ending, timedOut, started: new Date(began), wallMs, refused };
  atEnd?.({ container, about: record, ...counted });
  return timedOut ? rare.timeLimit.TIMED_OUT : rare.foreground.statusOfEnding(ending);
}

/** A bundle whose terminal has the size of ours. */
function sized(bundle: Bundle): Bundle {
  const { process } = bundle.config;
  if (process === undefined) return bundle;
  return { ...bundle, config: { ...bundle.config, process: rare.foreground.withOurWindowSize(process) } };
}
