import type { Fd } from "../linux/fd";
import { childEnded, openProcess, reapChild, signalProcess } from "../linux/process";
import { getWindowSize, isTerminal, setWindowSize } from "../linux/pty";
import type { Process } from "../oci/config";
import type { ProcessRecord } from "./record";

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

/** The program's first look at its terminal must find the size of ours, if we have one. */
export function withOurWindowSize(process: Process): Process {
  if (process.terminal !== true || !isTerminal(0)) return process;
  const { width, height } = getWindowSize(0);
  return width > 0 && height > 0 ? { ...process, consoleSize: { width, height } } : process;
}

/** A terminal that exists already gets the size of ours. */
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
