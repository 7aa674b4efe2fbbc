import type { Hako, SandboxProcess } from "./attended.js";
import { call, callLines, WAITING } from "./call.js";
import type { Ended, State, Stats } from "./generated.js";
import { checkOptions } from "./options.js";
import type { Result } from "./result.js";
import { type AsBytes, type ExecOptions, type ExecSpawnOptions, exec, execSpawn } from "./run.js";

/** What happens to a container: its counters, or that memory ran out. */
export type ContainerEvent = { type: "stats"; id: string; data: Stats } | { type: "oom"; id: string };

/** A container of hako's, whoever has made it. */
export class Container {
  /** The container's id. */
  readonly id: string;
  readonly #hako: Hako;

  /** @internal */
  constructor(id: string, hako: Hako) {
    this.id = id;
    this.#hako = hako;
  }

  /** What it is now. Throws a `SandboxError` with code "not-found" where there is no such container. */
  async state(): Promise<State>;
  async state(none: object = {}): Promise<State> {
    checkOptions("state", none);
    return JSON.parse(await call(["state", this.id], this.#hako)) as State;
  }

  /** Waits for the end of the container's program; how it ended. */
  async wait(options: { signal?: AbortSignal | undefined } = {}): Promise<Ended> {
    checkOptions("wait", options);
    const words = ["wait", "--json", WAITING, this.id];
    const [ended] = JSON.parse(await call(words, this.#hako, options.signal)) as [Ended];
    return ended;
  }

  /** Sends a signal, by its name or number, to the container's first process, or to all: TERM if none is named. */
  async kill(signal: string | number = "TERM", options: { all?: boolean | undefined } = {}): Promise<void> {
    checkOptions("kill", options);
    await call(["kill", ...(options.all ? ["--all"] : []), this.id, String(signal)], this.#hako);
  }

  /** Removes a container that has stopped; with `force` one that runs, too. */
  async delete(options: { force?: boolean | undefined } = {}): Promise<void> {
    checkOptions("delete", options);
    await call(["delete", ...(options.force ? ["--force"] : []), this.id], this.#hako);
  }

  /** Lets it reach more, up to its end, as `example.com:443`: one that was started with rules of the network, in the foreground. */
  async allow(...rules: string[]): Promise<void> {
    await call(["policy", "allow", this.id, "--", ...rules], this.#hako);
  }

  /** The counters of its cgroups, once. */
  async stats(): Promise<Stats>;
  async stats(none: object = {}): Promise<Stats> {
    checkOptions("stats", none);
    const { data } = JSON.parse(await call(["events", "--stats", this.id], this.#hako)) as { data: Stats };
    return data;
  }

  /** Its counters every so many milliseconds, and each time that memory runs out, until it ends or nobody asks for more. */
  async *events(
    options: { intervalMs?: number | undefined; signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<ContainerEvent, void> {
    checkOptions("events", options);
    const { intervalMs = 5000, signal } = options;
    const lines = callLines(["events", WAITING, `--interval=${intervalMs}ms`, this.id], this.#hako, signal);
    for await (const line of lines) yield JSON.parse(line) as ContainerEvent;
  }

  /** Runs a command in it to its end. Throws a `SandboxError` where it could not be started. */
  async exec(command: readonly string[], options: ExecOptions & AsBytes): Promise<Result<Uint8Array>>;
  async exec(command: readonly string[], options?: ExecOptions): Promise<Result>;
  async exec(command: readonly string[], options: ExecOptions = {}): Promise<Result | Result<Uint8Array>> {
    return await exec({ ...this.#hako, id: this.id }, command, options);
  }

  /** Starts a command in it. */
  spawn(command: readonly string[], options: ExecSpawnOptions = {}): SandboxProcess {
    return execSpawn({ ...this.#hako, id: this.id }, command, options);
  }
}

/** The container of this id. Nothing is asked yet. */
export function container(id: string, hako: Hako = {}): Container {
  checkOptions("container", hako);
  return new Container(id, hako);
}
