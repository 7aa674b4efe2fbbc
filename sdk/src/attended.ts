import { type ChildProcess, type SpawnOptions, spawn as spawnProcess } from "node:child_process";
import type { Socket } from "node:net";
import { resolve } from "node:path";
import type { Readable, Writable } from "node:stream";
import { SandboxError } from "./errors.js";
import { findExecutable, notStarted } from "./executable.js";
import type { Policy } from "./generated.js";
import { endedEarly, outcomeOf, type ProcessEnd } from "./outcome.js";
import type { Outcome } from "./result.js";

/** What is the same for all calls of hako. */
export interface Hako {
  /** The path of hako's executable; found if not given. */
  executable?: string | undefined;
  /** hako's state directory, as its `--root`. */
  root?: string | undefined;
  /** The working directory of the call; relative paths begin there. With `rootfs: "/"` the program starts there. */
  cwd?: string | undefined;
}

export interface SpawnSettings {
  /** "pipe", the default, gives streams; "inherit" the caller's own. */
  stdio?: "pipe" | "inherit" | undefined;
  /** Ends the program, and all that it has started, when it is aborted. */
  signal?: AbortSignal | undefined;
}

/** The number of the descriptor over which hako sees the end of the caller, and tells that of the program. */
const CHANNEL = 3;
/** That of the one by which it gets a policy that is in no file. */
const POLICY = 4;

/** hako's words for a program that ends with its caller and whose end is told. */
export const CHANNEL_FLAGS = [`--report=${CHANNEL}`, `--die-with=${CHANNEL}`, "--quiet"];

/** hako's words for a policy that is given as an object. */
export const POLICY_FLAG = `--policy=${POLICY}`;

/** What hako gets beside its words. */
export interface Given {
  /** Nothing comes from standard input. */
  closesInput?: boolean;
  policy?: Policy | undefined;
}

export function globalWords({ root }: Hako): string[] {
  return root === undefined ? [] : ["--root", root];
}

/** A program that runs in a sandbox. It ends with this process, however that ends. */
export class SandboxProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #channel: Socket;
  readonly #sent = new Set<NodeJS.Signals>();
  /** How the program has ended. Rejected with a `SandboxError` where hako has failed, with the signal's reason where that was aborted. */
  readonly outcome: Promise<Outcome>;

  /** @internal */
  constructor(
    words: readonly string[],
    { executable = findExecutable(), cwd }: Hako,
    { stdio = "pipe", signal }: SpawnSettings,
    { closesInput = false, policy }: Given = {},
  ) {
    signal?.throwIfAborted();
    const input = closesInput ? "ignore" : stdio;
    this.#child = started(executable, words, {
      ...(cwd === undefined ? {} : { cwd }),
      stdio: [input, stdio, stdio, "pipe", ...(policy === undefined ? [] : ["pipe" as const])],
    });
    if (policy !== undefined) give(this.#child.stdio[POLICY] as Socket | undefined, policy);
    this.#channel = this.#child.stdio[CHANNEL] as Socket;
    this.outcome = this.#ended(executable, cwd, signal);
    // one who doesn't ask is told nothing
    this.outcome.catch(() => {});
  }

  /** The program's standard input. What is written is an error "EPIPE" of the stream once the program reads no more. */
  get stdin(): Writable {
    return stream(this.#child.stdin, "stdin");
  }

  /** The program's standard output. The program is held up as long as nobody reads it. */
  get stdout(): Readable {
    return stream(this.#child.stdout, "stdout");
  }

  /** The program's standard error, with hako's own warnings. The program is held up as long as nobody reads it. */
  get stderr(): Readable {
    return stream(this.#child.stderr, "stderr");
  }

  /** Sends a signal to the program, TERM if none is named. KILL is for all processes of it, as `close` is. */
  kill(signal: NodeJS.Signals = "SIGTERM"): void {
    if (signal === "SIGKILL") this.#letGo();
    else if (this.#child.kill(signal)) this.#sent.add(signal);
  }

  /** Kills what still runs, and comes back when nothing of it is left. */
  async close(): Promise<void> {
    this.#letGo();
    await this.outcome.catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Half of the channel is closed: hako sees it, ends the program, and tells how it ended over the other half. */
  #letGo(): void {
    this.#channel?.end();
  }

  async #ended(
    executable: string,
    cwd: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Outcome> {
    const abort = () => this.#letGo();
    signal?.addEventListener("abort", abort, { once: true });
    try {
      const [report, end] = await Promise.all([this.#told(), endOf(this.#child, executable, cwd)]);
      if (signal?.aborted === true) throw signal.reason;
      if (report === "" && end.signal !== null && this.#sent.has(end.signal)) return endedEarly(end.signal);
      return outcomeOf(report, end);
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** All that comes over the channel. */
  #told(): Promise<string> {
    const channel = this.#channel;
    // a program that could not be started has none
    if (channel === undefined || channel === null) return Promise.resolve("");
    let text = "";
    return new Promise((resolve) => {
      channel.on("data", (data: Buffer) => {
        text += data.toString("utf8");
      });
      channel.on("error", () => resolve(text));
      channel.on("end", () => resolve(text));
      channel.on("close", () => resolve(text));
    });
  }
}

/** Starts hako. Throws a `SandboxError` where that fails at once; what is told later is the child's "error". */
export function started(executable: string, words: readonly string[], options: SpawnOptions): ChildProcess {
  try {
    // a relative path would begin at the working directory of the call
    const file = executable.includes("/") ? resolve(executable) : executable;
    const child = spawnProcess(file, words, options);
    // as Node.js leaves it where there are no descriptors for its streams
    if ((child.stdio as unknown) !== undefined) return child;
    child.on("error", () => {});
  } catch (cause) {
    throw notStarted(executable, options.cwd, cause as Error);
  }
  throw new SandboxError("system", `${executable} can't be started: too many open files`, "ulimit -n");
}

/** Writes a policy, and lets go of the descriptor: one that could not be read to its end would be an error of hako's. */
function give(socket: Socket | undefined | null, policy: Policy): void {
  socket?.on("error", () => {});
  socket?.end(JSON.stringify(policy), () => socket.destroy());
}

/** A stream of a child process, where it has one. */
export function stream<T>(given: T | null, name: string): T {
  if (given === null) throw new TypeError(`${name} is the caller's own`);
  return given;
}

function endOf(child: ChildProcess, executable: string, cwd: string | undefined): Promise<ProcessEnd> {
  return new Promise((resolve, reject) => {
    child.on("error", (cause) => {
      // one that runs: a signal could not be sent
      if (child.pid !== undefined) return;
      reject(notStarted(executable, cwd, cause));
    });
    child.on("exit", (status, signal) => resolve({ status, signal }));
  });
}
