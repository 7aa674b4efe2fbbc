import { SIG } from "../../linux/call/constants";
import type { Fd } from "../../linux/call/fd";
import { syscall } from "../../linux/call/syscall";
import { recvFd } from "../../linux/file/descriptor-passing";
import { pollAny, waitFor } from "../../linux/file/poll";
import {
  childEnded,
  dropsSignal,
  type Ending,
  openProcess,
  ProcessorTime,
  reapChild,
  signalGroupOf,
  signalProcess,
} from "../../linux/process/process";
import { getWindowSize, isTerminal, setOnlcr, setWindowSize } from "../../linux/terminal/pty";
import type { Process } from "../../oci/config";
import { UNREAD } from "../../output/print";
import type { ProcessRecord } from "../../state/record";
import { FORWARDED } from "./forwarded-signals";

const NAMES = Object.keys(FORWARDED) as (keyof typeof FORWARDED)[];
/** The forwarded signals that end a process without a handler (signal(7)). */
const ENDING: ReadonlySet<number> = new Set([1, 2, 3, 10, 12, 14, 15]);
/** How long a program may take to end by itself when its terminal was hung up. */
const HANGUP_MS = 2000;
/** How long a program may take to stop that was told to. */
const STOP_MS = 1000;
/** What goes to the group of a program that leads one, as from a terminal. */
const OF_KEYS: ReadonlySet<number> = new Set([
  ...[SIG.INT, SIG.QUIT, SIG.TSTP, SIG.TTIN, SIG.TTOU, SIG.CONT],
]);
const STOPPING: ReadonlySet<number> = new Set([SIG.TSTP, SIG.TTIN, SIG.TTOU]);
/** How often to look for the program's end without a SIGCHLD, which may get lost. */
const SECOND_LOOK_MS = 500;

/** How a program ended that was waited for. */
export interface WatchedEnding extends Ending {
  time: ProcessorTime;
}

/** The exit status of a command whose program ended so, as `waitForProgram` says. */
export function statusOfEnding(ending: WatchedEnding | undefined): number {
  return ending?.status ?? UNREAD;
}

/** Gives the program's terminal the size of hako's own, if there is one, before the program can look at it. */
export function withOurWindowSize(process: Process): Process {
  if (process.terminal !== true || !isTerminal(0)) return process;
  const { width, height } = getWindowSize(0);
  return width > 0 && height > 0 ? { ...process, consoleSize: { width, height } } : process;
}

/**
 * Receives the master of the program's terminal, which will be connected to hako's standard streams. Call it before the program runs: where
 * standard output is no terminal, lines shall end as the program ends them.
 */
export function receiveTerminal(receiver: Fd): Fd {
  const { fd: master } = recvFd(receiver);
  try {
    if (!isTerminal(1)) setOnlcr(master, false);
    return master;
  } catch (error) {
    master.close();
    throw error;
  }
}

/** Sets the size of hako's own terminal on a terminal that exists already. */
export function adoptWindowSize(master: Fd): void {
  if (!isTerminal(0)) return;
  const size = getWindowSize(0);
  if (size.width > 0 && size.height > 0) setWindowSize(master, size);
}

/**
 * Passes this process's signals on to the program. Signals that come before there is a program are kept for it. The kernel drops signals for
 * which the first process of a pid namespace has no handler (pid_namespaces(7)), though outside of a container they would end the program.
 * With `ends` such a signal kills the program, so that Ctrl-C and timeout(1) work.
 */
export class SignalForwarder implements Disposable {
  #target: ProcessRecord | undefined;
  #endedBy: number | undefined;
  readonly #pending: number[] = [];
  readonly #handler = (name: NodeJS.Signals, number: number) => {
    if (this.#target === undefined) this.#pending.push(number);
    else this.#deliver(this.#target, number);
    if (STOPPING.has(number)) void this.#stopWith(name);
  };

  /**
   * `stops`: an eventfd(2) that counts how often the program was stopped, if this process is to stop with it. `leads`: the program leads a group,
   * which gets what a terminal's keys mean.
   */
  constructor(
    private readonly ends = false,
    private readonly stops?: Fd,
    private readonly leads = false,
  ) {
    for (const signal of NAMES) process.on(signal, this.#handler);
  }

  to(target: ProcessRecord): void {
    this.#target = target;
    for (const number of this.#pending.splice(0)) this.#deliver(target, number);
  }

  /** The signal that ended the program in place of the kernel. */
  get endedBy(): number | undefined {
    return this.#endedBy;
  }

  #deliver(target: ProcessRecord, number: number): void {
    if (this.endsBy(number)) return;
    if (this.leads && OF_KEYS.has(number)) signalGroupOf(target.pid, number);
    else signalProcess(target.pid, target.startTime, number);
  }

  /** Ends the program in place of the kernel, if that would drop this signal; false if it would not. */
  endsBy(number: number): boolean {
    if (this.#target === undefined || !this.ends || !ENDING.has(number)) return false;
    const { pid, startTime } = this.#target;
    if (!dropsSignal(pid, number)) return false;
    if (signalProcess(pid, startTime, SIG.KILL)) this.#endedBy ??= number;
    return true;
  }

  /** Stops as the job that the shell waits for, if the program does; as `StoppedJob` for an attendant. */
  async #stopWith(signal: NodeJS.Signals): Promise<void> {
    const { stops } = this;
    if (stops === undefined) return;
    const until = performance.now() + STOP_MS;
    while (!waitFor(stops, "read", 0)) {
      if (performance.now() > until) return;
      await Bun.sleep(STOP_MS / 100);
    }
    syscall("read", stops.number, new BigInt64Array(1), 8);
    process.off(signal, this.#handler);
    process.kill(process.pid, signal);
    // continued; or never stopped, for who has no job control
    process.on(signal, this.#handler);
    if (this.#target !== undefined) this.#deliver(this.#target, SIG.CONT);
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  stop(): void {
    for (const signal of NAMES) process.off(signal, this.#handler);
  }
}

/**
 * Connects the program's terminal to hako's, and waits for its end or until nobody reads its output. Returns how it ended; undefined where
 * nobody reads any more.
 */
export async function waitForProgram(
  init: ProcessRecord,
  master: Fd | undefined,
  forward: SignalForwarder,
): Promise<WatchedEnding | undefined> {
  using watched = openProcess(init.pid, init.startTime);
  const ended = watched === undefined ? Promise.resolve() : endOf(watched);
  forward.to(init);
  if (master !== undefined) {
    const { relay } = await import("../../linux/terminal/relay");
    if (!(await relay(master, { until: ended, signals: false, endsInput: true }))) {
      master.close();
      await Promise.race([ended, Bun.sleep(HANGUP_MS)]);
      return undefined;
    }
  }
  await ended;
  const ending = reaped(init);
  const { endedBy } = forward;
  if (endedBy === undefined || ending.signal !== SIG.KILL) return ending;
  return { ...ending, status: 128 + endedBy, signal: endedBy };
}

function reaped({ pid }: ProcessRecord): WatchedEnding {
  const time = new ProcessorTime();
  return { ...(reapChild(pid, true, time) ?? { status: 1, signal: undefined }), time };
}

/**
 * How a program ended that is over within so many milliseconds; undefined where it goes on, or where there is something to read from one of
 * `others`, which is somebody else's to do.
 */
export function endedSoon(
  init: ProcessRecord,
  others: readonly Fd[],
  milliseconds: number,
): WatchedEnding | undefined {
  using watched = openProcess(init.pid, init.startTime, true);
  if (watched === undefined) return undefined;
  const all = [watched, ...others].map((fd) => ({ fd, for: "read" as const }));
  const [ended, ...happened] = pollAny(all, milliseconds);
  return ended === true && !happened.includes(true) ? reaped(init) : undefined;
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
