import { SignalRecorder } from "../../linux/attendant/signal-recorder";
import { SIG } from "../../linux/call/constants";
import type { Fd } from "../../linux/call/fd";
import { socketPair } from "../../linux/file/unix-socket";
import { becomeSubreaper } from "../../linux/process/process";
import { isDebugging } from "../../output/log";
import type { ContainerRecord, ProcessRecord } from "../../state/record";
import type { Bundle } from "../bundle";
import { type CreateOptions, createContainer } from "../create";
import { connectConsoleSocket } from "../io/console-socket";
import { FORWARDED } from "../io/forwarded-signals";
import { runPoststartHooks } from "../poststart";

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
  get delete() {
    return require("../delete") as typeof import("../delete");
  },
  /** For a program that doesn't run yet when the container is there. */
  get start() {
    return require("../start") as typeof import("../start");
  },
  get parentWatch() {
    return require("./parent-watch") as typeof import("./parent-watch");
  },
  get kill() {
    return require("../kill") as typeof import("../kill");
  },
};

export interface RunOptions extends Omit<CreateOptions, "consoleSocket"> {
  consoleSocketPath: string | undefined;
  detach: boolean;
  /** The container stays, stopped, after its end. */
  keep: boolean;
  subreaper: boolean;
  /** A signal that the program has no handler for ends it, as it would outside of a container. */
  signalsEnd: boolean;
  /** Milliseconds after which the container is killed. */
  timeLimit: number | undefined;
  /** The container is killed when this process ends, or the one that has started it. */
  diesWithMaker: boolean;
}

/** As timeout(1). */
const TIMED_OUT = 124;

/**
 * create, start, and in the foreground the program to its end; returns the exit status. Where nothing has to be done while the
 * program runs but to pass on signals and what a terminal shows, it doesn't come back: a small program takes this one's place.
 */
export async function runContainer(options: RunOptions): Promise<number> {
  const { root, id, detach, keep } = options;
  const terminal = options.bundle.config.process?.terminal === true;
  using given = connectConsoleSocket(terminal, options.consoleSocketPath, detach);
  const [ours, theirs] =
    terminal && given === undefined ? socketPair("socket for the terminal") : [undefined, undefined];
  using receiver = ours;
  using sender = theirs;
  const bundle = sender === undefined ? options.bundle : sized(options.bundle);
  if (!detach && options.subreaper) becomeSubreaper();
  using signals = leavesTheProgram(options)
    ? new SignalRecorder(Object.values(FORWARDED))
    : new rare.foreground.SignalForwarder(options.signalsEnd);
  // who has its terminal, or wants to know that it is ready, has to be there at its first moment
  const mayRun = !terminal && options.notifySocket === undefined;
  const { record, runs } = createContainer({ ...options, bundle, consoleSocket: given ?? sender }, mayRun);
  let deleted = keep;
  let started = false;
  try {
    sender?.close();
    using master = receiver === undefined ? undefined : rare.foreground.receiveTerminal(receiver);
    using relay = runs ? undefined : rare.start.startContainer(options);
    if (runs) runPoststartHooks({ root, record });
    started = true;
    if (detach || !hasProcess(record)) {
      relay?.wait();
      deleted = true;
      return 0;
    }
    if (signals instanceof SignalRecorder)
      return rare.attendedRun.leaveRun({ root, record, keep, master, recorder: signals });
    using _ = relay?.watch();
    return await watch(options, record.init, master, signals);
  } catch (error) {
    deleted = false;
    throw error;
  } finally {
    if (!deleted) {
      rare.delete.deleteContainer({ root, id, force: true, alone: !started });
    }
  }
}

function hasProcess(record: ContainerRecord): record is ContainerRecord & { init: ProcessRecord } {
  return record.init !== undefined;
}

/** Whether this process is not needed while the program runs. */
function leavesTheProgram({
  detach,
  timeLimit,
  diesWithMaker,
  signalsEnd,
  notifySocket,
}: RunOptions): boolean {
  const watched = timeLimit !== undefined || diesWithMaker || signalsEnd || notifySocket !== undefined;
  return !detach && !watched && !isDebugging();
}

/** Waits for the program's end, or until its time is over. */
async function watch(
  { root, id, timeLimit, diesWithMaker }: RunOptions,
  init: ProcessRecord,
  master: Fd | undefined,
  forward: InstanceType<typeof import("../io/foreground").SignalForwarder>,
): Promise<number> {
  const kill = () => rare.kill.killContainer({ root, id, signal: SIG.KILL, all: true });
  using limit = new TimeLimit(timeLimit, kill);
  using _ = diesWithMaker ? new rare.parentWatch.ParentWatch(kill) : undefined;
  const status = await rare.foreground.waitForProgram(init, master, forward);
  return limit.over ? TIMED_OUT : status;
}

/** Does something once after some milliseconds, unless it is disposed of before. */
class TimeLimit implements Disposable {
  over = false;
  readonly #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(milliseconds: number | undefined, end: () => void) {
    if (milliseconds === undefined) return;
    this.#timer = setTimeout(() => {
      this.over = true;
      end();
    }, milliseconds);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/** A bundle whose terminal has the size of ours. */
function sized(bundle: Bundle): Bundle {
  const { process } = bundle.config;
  if (process === undefined) return bundle;
  return { ...bundle, config: { ...bundle.config, process: rare.foreground.withOurWindowSize(process) } };
}
