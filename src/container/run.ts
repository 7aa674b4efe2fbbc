import { HakoError } from "../errors";
import type { Fd } from "../linux/fd";
import { becomeSubreaper, childEnded, openProcess, reapChild, signalProcess } from "../linux/process";
import { getWindowSize, isTerminal, setWindowSize } from "../linux/pty";
import { recvFd, socketPair, unixConnect } from "../linux/socket";
import { type CreateOptions, createContainer } from "./create";
import { deleteContainer } from "./delete";
import { noNeedForOutput } from "./output";
import type { ProcessRecord } from "./record";
import { startContainer } from "./start";

/** Signals that go to the program: all that can be caught but those about our own children and terminal. */
const FORWARDED: readonly NodeJS.Signals[] = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGTERM",
  "SIGUSR1",
  "SIGUSR2",
  "SIGALRM",
  "SIGCONT",
  "SIGTSTP",
  "SIGTTIN",
  "SIGTTOU",
];
/** SIGCHLD tells of the end; this is for one that got lost. */
const SECOND_LOOK_MS = 500;

export interface RunOptions extends Omit<CreateOptions, "consoleSocket"> {
  consoleSocketPath: string | undefined;
  detach: boolean;
  /** The container stays, stopped, after its end. */
  keep: boolean;
  subreaper: boolean;
}

/** Connects to a console socket, if one is named, and checks that config.json and the caller agree about a terminal. */
export function consoleFor(terminal: boolean, path: string | undefined, detach: boolean): Fd | undefined {
  if (path !== undefined && !terminal) {
    throw new HakoError({
      code: "usage",
      message: "--console-socket: the container has no terminal",
      hint: "config.json: /process/terminal",
    });
  }
  if (path !== undefined) return unixConnect(path);
  if (noNeedForOutput(detach, terminal)) {
    throw new HakoError({
      code: "usage",
      message:
        "config /process/terminal: a container that is not run in the foreground needs --console-socket",
    });
  }
  return undefined;
}

/** create, start, and in the foreground the program to its end; returns the exit status. */
export async function runContainer(options: RunOptions): Promise<number> {
  const { root, id, detach, keep, openFiles, warn } = options;
  const terminal = options.bundle.config.process?.terminal === true;
  using given = consoleFor(terminal, options.consoleSocketPath, detach);
  const [ours, theirs] = terminal && given === undefined ? socketPair() : [undefined, undefined];
  using receiver = ours;
  using sender = theirs;
  if (!detach && options.subreaper) becomeSubreaper();
  const forward = new SignalForwarder();
  let deleted = keep;
  try {
    const record = createContainer({ ...options, consoleSocket: given ?? sender });
    try {
      sender?.close();
      using master = receiver === undefined ? undefined : recvFd(receiver).fd;
      if (master !== undefined) adoptWindowSize(master);
      startContainer({ root, id, openFiles });
      if (detach || record.init === undefined) {
        deleted = true;
        return 0;
      }
      return await attend(record.init, master, forward);
    } catch (error) {
      deleted = false;
      throw error;
    } finally {
      if (!deleted) deleteContainer({ root, id, force: true, openFiles, warn });
    }
  } finally {
    forward.stop();
  }
}

/** The program's first look at its terminal must find the size of ours. */
export function adoptWindowSize(master: Fd): void {
  if (!isTerminal(0)) return;
  const size = getWindowSize(0);
  if (size.width > 0 && size.height > 0) setWindowSize(master, size);
}

/** Signals of this process for the program; those that come before there is one wait for it. */
export class SignalForwarder {
  #target: ProcessRecord | undefined;
  readonly #pending: number[] = [];
  readonly #handler = (_: NodeJS.Signals, number: number) => {
    if (this.#target === undefined) this.#pending.push(number);
    else signalProcess(this.#target.pid, this.#target.startTime, number);
  };

  constructor() {
    for (const signal of FORWARDED) process.on(signal, this.#handler);
  }

  to(target: ProcessRecord): void {
    this.#target = target;
    for (const number of this.#pending.splice(0)) signalProcess(target.pid, target.startTime, number);
  }

  stop(): void {
    for (const signal of FORWARDED) process.off(signal, this.#handler);
  }
}

/** Waits for the program's end, with its terminal connected to ours; its exit status, or 128+n. */
export async function attend(
  init: ProcessRecord,
  master: Fd | undefined,
  forward: SignalForwarder,
): Promise<number> {
  using watched = openProcess(init.pid, init.startTime);
  const ended = watched === undefined ? Promise.resolve() : endOf(watched);
  forward.to(init);
  if (master !== undefined) {
    const { relay } = await import("../linux/terminal");
    await relay(master, { until: ended, signals: false });
  }
  await ended;
  return reapChild(init.pid, true)?.status ?? 1;
}

function endOf(watched: Fd): Promise<void> {
  return new Promise((done) => {
    const look = () => {
      if (!childEnded(watched)) return;
      clearInterval(timer);
      process.off("SIGCHLD", look);
      done();
    };
    const timer = setInterval(look, SECOND_LOOK_MS);
    process.on("SIGCHLD", look);
    look();
  });
}
