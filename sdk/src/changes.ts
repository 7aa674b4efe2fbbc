import type { Hako } from "./attended.js";
import { call } from "./call.js";
import type { Change } from "./generated.js";
import { checkOptions } from "./options.js";

/** Which of the changes are meant: those at and below these paths; all if not given, none if the list is empty. */
export interface ChosenPaths {
  /** Absolute, or relative to the working directory. */
  paths?: readonly string[] | undefined;
}

/** hako would take no paths for all. */
function choosesNone({ paths }: ChosenPaths): boolean {
  return paths?.length === 0;
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

  async #call(name: string, flags: readonly string[], { paths = [] }: ChosenPaths): Promise<string> {
    return await call(["changes", name, ...flags, "--", this.directory, ...paths], this.#hako);
  }

  /** What was added, changed and removed. */
  async list(options: ChosenPaths = {}): Promise<Change[]> {
    checkOptions("list", options);
    return choosesNone(options)
      ? []
      : (JSON.parse(await this.#call("show", ["--json"], options)) as Change[]);
  }

  /** The same for people, with how texts have changed. */
  async diff(options: ChosenPaths = {}): Promise<string> {
    checkOptions("diff", options);
    return choosesNone(options) ? "" : await this.#call("show", ["--diff"], options);
  }

  /** Makes them true on the host. Throws a `SandboxError` with code "state", and applies nothing, where one is a conflict, unless `force` is set. */
  async apply(options: ChosenPaths & { force?: boolean | undefined } = {}): Promise<void> {
    checkOptions("apply", options);
    if (!choosesNone(options)) await this.#call("apply", options.force ? ["--force"] : [], options);
  }

  /** Throws all of them away. */
  async discard(): Promise<void>;
  async discard(none: object = {}): Promise<void> {
    checkOptions("discard", none);
    await this.#call("discard", [], {});
  }
}

/** The changes in this directory. Nothing is read yet. */
export function changes(directory: string, hako: Hako = {}): Changes {
  checkOptions("changes", hako);
  return new Changes(directory, hako);
}
