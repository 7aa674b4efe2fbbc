import { randomUUID } from "node:crypto";
import { statSync } from "node:fs";
import { resolve } from "node:path";
import type { SandboxProcess } from "./attended.js";
import { Container } from "./container.js";
import { SandboxError } from "./errors.js";
import { UntoldEnd } from "./outcome.js";
import { Output } from "./output.js";
import type { Outcome, Result } from "./result.js";
import {
  type ExecOptions,
  type ExecSpawnOptions,
  newId,
  type SandboxOptions,
  type SpawnOptions,
  spawn,
} from "./run.js";

/** How long the program that keeps a sandbox may take to end by itself. */
const CLOSE_MS = 1000;
/** How many bytes of what is written to standard error are kept. */
const MOST_ERRORS = 4096;
const IMAGE = /^(?:oci|oci-archive|docker-archive):/;

/**
 * A sandbox for many commands, one after the other or at once: they share its files, its processes, its network and its limits. It ends, with all
 * that runs in it, when it is closed, or when this process ends.
 */
export class Sandbox implements AsyncDisposable {
  readonly container: Container;
  readonly #keeper: SandboxProcess;

  private constructor(id: string, options: SandboxOptions, keeper: SandboxProcess) {
    this.container = new Container(id, options);
    this.#keeper = keeper;
  }

  /** Makes a sandbox; it is there when this comes back. Throws a `SandboxError` where it can't be made. */
  static async start(options: SandboxOptions & { signal?: AbortSignal | undefined } = {}): Promise<Sandbox> {
    const { id = newId() } = options;
    // cat, because each system and most images have it, and because it answers: so it runs
    const keeper = spawn({ ...options, ...keeperOf(options), id });
    const word = randomUUID();
    keeper.stdin.on("error", () => {});
    keeper.stdin.write(`${word}\n`);
    await Promise.race([answer(keeper, word), endsEarly(keeper)]);
    if (options.signal?.aborted === true) {
      await keeper.close();
      throw options.signal.reason;
    }
    return new Sandbox(id, options, keeper);
  }

  get id(): string {
    return this.container.id;
  }

  /** Fulfilled when the sandbox has ended, with what all its commands have used. */
  get closed(): Promise<Outcome> {
    return this.#keeper.outcome;
  }

  /** Runs a command to its end. */
  async exec(command: readonly string[], options: ExecOptions = {}): Promise<Result> {
    return await this.container.exec(command, options);
  }

  /** Starts a command. */
  spawn(command: readonly string[], options: ExecSpawnOptions = {}): SandboxProcess {
    return this.container.spawn(command, options);
  }

  /** Ends the sandbox, and all that runs in it; what it has used. */
  async close(): Promise<Outcome> {
    this.#keeper.stdin.end();
    const timer = setTimeout(() => this.#keeper.kill("SIGKILL"), CLOSE_MS);
    try {
      return await this.#keeper.outcome;
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** An image may have an entrypoint that does something else with its arguments. */
function keeperOf({ rootfs = "/", cwd = "." }: SandboxOptions): Pick<SpawnOptions, "command" | "entrypoint"> {
  const isImage = IMAGE.test(rootfs) || statSync(resolve(cwd, rootfs), { throwIfNoEntry: false })?.isFile();
  return isImage ? { entrypoint: "cat", command: [] } : { command: ["cat"] };
}

function answer({ stdout }: SandboxProcess, word: string): Promise<void> {
  let text = "";
  return new Promise((resolve) => {
    stdout.on("data", (chunk: Buffer) => {
      text = `${text}${chunk.toString("latin1")}`.slice(-2 * word.length);
      if (text.includes(word)) resolve();
    });
  });
}

async function endsEarly(keeper: SandboxProcess): Promise<never> {
  const errors = new Output(keeper.stderr, MOST_ERRORS);
  const { exitCode, signal } = await keeper.outcome.catch(async (error: unknown) => {
    await errors.settled();
    throw error instanceof UntoldEnd ? error.with(errors.text) : error;
  });
  const text = errors.text;
  throw new SandboxError(
    "system",
    `the sandbox ended at once, ${signal ?? `with status ${exitCode}`}: ${text.trim()}`,
  );
}
