import type { Hako } from "./attended.js";
import { call } from "./call.js";
import type { Change } from "./generated.js";

/** Which of the changes are meant: those at and below these paths; all if not given. */
export interface ChosenPaths {
  /** Absolute, or relative to the working directory. */
  paths?: readonly string[] | undefined;
}

/** What a sandbox with the option `changes` has written. */
export class Changes {
  /** Where they are kept. */
  readonly directory: string;
  readonly #hako: Hako;

  /** @internal */
  constructor(directory: string, hako: Hako) {
    this.directory = directory;
    this.#hako = hako;
  }

  #call(name: string, flags: readonly string[], paths: readonly string[] = []): Promise<string> {
    return call(["changes", name, ...flags, "--", this.directory, ...paths], this.#hako);
  }

  /** What was added, changed and removed. */
  async list({ paths }: ChosenPaths = {}): Promise<Change[]> {
    return JSON.parse(await this.#call("show", ["--json"], paths)) as Change[];
  }

  /** The same for people, with how texts have changed. */
  async diff({ paths }: ChosenPaths = {}): Promise<string> {
    return await this.#call("show", ["--diff"], paths);
  }

  /** Makes them true on the host. Throws a `SandboxError` with code "state", and applies nothing, where one is a conflict, unless `force` is set. */
  async apply({ paths, force = false }: ChosenPaths & { force?: boolean } = {}): Promise<void> {
    await this.#call("apply", force ? ["--force"] : [], paths);
  }

  /** Throws them away. */
  async discard(): Promise<void> {
    await this.#call("discard", []);
  }
}

/** The changes in this directory. Nothing is read yet. */
export function changes(directory: string, hako: Hako = {}): Changes {
  return new Changes(directory, hako);
}
