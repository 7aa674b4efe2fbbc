import { read, write } from "node:fs";
import { constants } from "node:os";
import { HakoError } from "../../base/errors";
import type { Fd } from "../call/fd";
import { hasErrno } from "../file/file";
import { waitFor } from "../file/poll";
import {
  endInput,
  getTermios,
  getWindowSize,
  isTerminal,
  rawTermios,
  setTermios,
  setWindowSize,
} from "./pty";

export interface RelayOptions {
  /** When it settles the relay ends after what can be read at once, although the terminal may still be open. */
  until?: Promise<unknown> | undefined;
  /** false: fatal signals are the caller's affair (who must let `relay` end, so that the terminal is restored). */
  signals?: boolean | undefined;
  /** The end of standard input is the end of the terminal's. */
  endsInput?: boolean | undefined;
}

/**
 * Signals that end a process by default (signal(7)), except those of its own faults and those that Bun ignores or can't catch.
 */
const FATAL = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGTERM",
  "SIGUSR1",
  "SIGUSR2",
  "SIGALRM",
  "SIGVTALRM",
  "SIGPROF",
  "SIGXCPU",
  "SIGIO",
] as const satisfies readonly NodeJS.Signals[];
const CHUNK = 32768;
const RETRY_MS = 10;
/** How long, at most, a program that reads again after the end of its input waits to get that end again. */
const END_AGAIN_MS = 100;

/** Runs `action` before a signal ends this process with status 128+n; returns what takes the handlers away again. */
export function onFatalSignal(action: () => void): () => void {
  const handler = (signal: NodeJS.Signals) => {
    action();
    process.exit(128 + (constants.signals[signal] ?? 0));
  };
  for (const signal of FATAL) process.on(signal, handler);
  return () => {
    for (const signal of FATAL) process.off(signal, handler);
  };
}

function codeOf(error: unknown): string | undefined {
  return (error as { code?: string }).code;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, milliseconds));
}

/** One read on a pool thread; undefined at the end, which for a terminal's master is EIO: its last slave was closed. */
async function readChunk(fd: number, buffer: Uint8Array): Promise<Uint8Array | undefined> {
  for (;;) {
    try {
      const length = await new Promise<number>((done, failed) =>
        read(fd, buffer, 0, buffer.length, null, (error, count) => (error ? failed(error) : done(count))),
      );
      return length === 0 ? undefined : buffer.subarray(0, length);
    } catch (error) {
      const code = codeOf(error);
      if (code === "EIO" || code === "EBADF") return undefined;
      if (code !== "EAGAIN" && code !== "EINTR") throw error;
      await pause(RETRY_MS);
    }
  }
}

/** Writes all on a pool thread; false when nobody reads any more. */
async function writeChunk(fd: number, bytes: Uint8Array): Promise<boolean> {
  for (let done = 0; done < bytes.length; ) {
    try {
      done += await new Promise<number>((resolve, failed) =>
        write(fd, bytes, done, bytes.length - done, null, (error, count) =>
          error ? failed(error) : resolve(count),
        ),
      );
    } catch (error) {
      const code = codeOf(error);
      if (code === "EPIPE" || code === "EIO" || code === "EBADF") return false;
      if (code !== "EAGAIN" && code !== "EINTR") throw error;
      await pause(RETRY_MS);
    }
  }
  return true;
}

/** Copies until the source ends, one pool thread at a time; false when it is the target that has ended. */
async function copy(from: number, to: number, ended: () => boolean): Promise<boolean> {
  const buffer = Buffer.alloc(CHUNK);
  for (;;) {
    const chunk = await readChunk(from, buffer);
    if (chunk === undefined || ended()) return true;
    if (!(await writeChunk(to, chunk))) return false;
  }
}

/** Ends a terminal's input again and again, for programs that come to read it later too. */
async function keepEnding(master: Fd, ended: () => boolean): Promise<void> {
  for (let wait = RETRY_MS; !ended(); wait = Math.min(2 * wait, END_AGAIN_MS)) {
    try {
      endInput(master);
    } catch (error) {
      // nobody has it open any more: the other copy finds that out too
      if (!hasErrno(error, "EIO")) throw error;
      return;
    }
    await pause(wait);
  }
}

/**
 * Connects standard input and output to a terminal's master until the terminal ends.
 * - If standard input is a terminal, it is raw meanwhile, and its size is passed on. It is restored in every case, fatal signals
 *   included.
 * - A read of standard input may stay behind on its pool thread: the process is meant to exit soon after.
 * - False when it ends because nobody reads standard output any more. The caller then closes the master, which tells the
 *   terminal's program; it would block otherwise.
 */
export async function relay(master: Fd, options: RelayOptions = {}): Promise<boolean> {
  const number = master.number;
  const before = isTerminal(0) ? getTermios(0) : undefined;
  const restore = () => {
    if (before === undefined) return;
    try {
      setTermios(0, before);
    } catch (error) {
      // a terminal that was hung up has nothing to restore
      if (!(error instanceof HakoError)) throw error;
    }
  };
  const resize = () => {
    const size = getWindowSize(0);
    if (size.width > 0 && size.height > 0) setWindowSize(number, size);
  };
  const forget = options.signals === false ? () => undefined : onFatalSignal(restore);
  process.on("exit", restore);
  let ended = false;
  try {
    if (before !== undefined) {
      resize();
      process.on("SIGWINCH", resize);
      // what our output is piped to may write to this terminal, and ends its lines as programs do
      setTermios(0, rawTermios(before, isTerminal(1)));
    }
    const failed = copy(0, number, () => ended)
      .then((whole) => (whole && options.endsInput === true ? keepEnding(master, () => ended) : undefined))
      .then(() => new Promise<never>(() => undefined));
    let isRead = false;
    const output = copy(number, 1, () => false).finally(() => {
      isRead = true;
    });
    const waits: Promise<boolean>[] = [output, failed];
    if (options.until !== undefined) {
      // what the program wrote before its end is in the master's buffer already
      waits.push(
        options.until.then(async () => {
          // a terminal that nobody has open stays readable
          while (!isRead && waitFor(number, "read", 0)) await Promise.race([output, pause(RETRY_MS)]);
          await Promise.race([output, pause(2 * RETRY_MS)]);
          return true;
        }),
      );
    }
    return await Promise.race(waits);
  } finally {
    ended = true;
    process.off("SIGWINCH", resize);
    process.off("exit", restore);
    restore();
    forget();
  }
}
