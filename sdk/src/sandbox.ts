import { once } from "node:events";
import type { SandboxProcess } from "./attended.js";
import { Container } from "./container.js";
import { SandboxError } from "./errors.js";
import { checkOptions } from "./options.js";
import { UntoldEnd } from "./outcome.js";
import { Output } from "./output.js";
import type { Outcome, Result } from "./result.js";
import {
  type AsBytes,
  type ExecOptions,
  type ExecSpawnOptions,
  idle,
  newId,
  type SandboxOptions,
} from "./run.js";

/** How long hako may take to end a sandbox by itself. */
const CLOSE_MS = 10_000;
/** How many bytes of what is written to standard error are kept. */
const MOST_ERRORS = 4096;

/**
 * A sandbox for many commands, one after the other or at once: they share its files, its processes, its network and its limits. It ends, with all
 * that runs in it, when it is closed, or when this process ends.
 */
export class Sandbox implements AsyncDisposable {
  /** The container that the commands run in. */
  readonly container: Container;
  readonly #keeper: SandboxProcess;

  private constructor(id: string, options: SandboxOptions, keeper: SandboxProcess) {
    this.container = new Container(id, options);
    this.#keeper = keeper;
  }

  /** Makes a sandbox; it is there when this comes back. Throws a `SandboxError` where it can't be made. `signal` ends it, also later, when it is aborted. */
  static async start(options: SandboxOptions & { signal?: AbortSignal | undefined } = {}): Promise<Sandbox> {
    checkOptions("Sandbox.start", options);
    const id = options.id ?? newId();
    const keeper = idle({ ...options, id });
    // hako prints its id when it is there
    await Promise.race([once(keeper.stdout, "data"), endsEarly(keeper)]);
    if (options.signal?.aborted === true) {
      await keeper.close();
      throw options.signal.reason;
    }
    return new Sandbox(id, options, keeper);
  }

  /** The id of its container. */
  get id(): string {
    return this.container.id;
  }

  /** Fulfilled when the sandbox has ended, with what all its commands have used. */
  get closed(): Promise<Outcome> {
    return this.#keeper.outcome;
  }

  /** Runs a command to its end. */
  async exec(command: readonly string[], options: ExecOptions & AsBytes): Promise<Result<Uint8Array>>;
  async exec(command: readonly string[], options?: ExecOptions): Promise<Result>;
  async exec(command: readonly string[], options: ExecOptions = {}): Promise<Result | Result<Uint8Array>> {
    return await this.container.exec(command, options);
  }

  /** Starts a command. */
  spawn(command: readonly string[], options: ExecSpawnOptions = {}): SandboxProcess {
    return this.container.spawn(command, options);
  }

  /** Ends the sandbox, and all that runs in it; what it has used. */
  async close(): Promise<Outcome> {
    this.#keeper.kill("SIGTERM");
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
