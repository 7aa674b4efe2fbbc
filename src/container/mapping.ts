import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { asHakoError, during, HakoError } from "../errors";
import { type ContainerId, containerId, type SandboxId, sandboxId } from "./id";

/** Mode of every directory of the store. */
const MODE = 0o750;
/** No id contains it, so what begins with it is ours: a claim or a removal that is under way, or was cut off. */
const TEMPORARY = "#";

export interface Mapping {
  container: ContainerId;
  sandbox: SandboxId;
}

/** Which container is in which sandbox: a directory for each container that holds one entry, the sandbox's id. */
export class MappingStore {
  readonly directory: string;

  constructor(root: string) {
    this.directory = join(resolve(root), "containers-mapping");
  }

  #path(id: ContainerId): string {
    return join(this.directory, id);
  }

  #temporary(): string {
    return join(this.directory, `${TEMPORARY}${randomBytes(9).toString("hex")}`);
  }

  /**
   * Claims a container's id for a sandbox: of several at once exactly one succeeds, since rename(2) puts a directory
   * over an empty one (what a crash may have left) but never over a full one. The same pair again fails too:
   * whoever claims must know that nobody else holds the id, and whoever fails must not take the claim back.
   */
  add(container: ContainerId, sandbox: SandboxId): void {
    mkdirSync(resolve(this.directory, ".."), { recursive: true, mode: 0o711 });
    mkdirSync(this.directory, { recursive: true, mode: MODE });
    const temporary = this.#temporary();
    mkdirSync(temporary, MODE);
    try {
      mkdirSync(join(temporary, sandbox), MODE);
      renameSync(temporary, this.#path(container));
    } catch (thrown) {
      rmSync(temporary, { recursive: true, force: true });
      const error = asHakoError(thrown);
      if (error.errno !== "ENOTEMPTY" && error.errno !== "EEXIST") {
        throw new HakoError({ code: "system", message: `map container ${container}`, cause: error });
      }
      const holder = this.get(container);
      throw new HakoError({
        code: "exists",
        message: `container id "${container}" is already mapped${holder === undefined ? "" : ` to sandbox "${holder}"`}`,
        cause: undefined,
      });
    }
  }

  /** The sandbox of a container; undefined when there is none, which is no error. */
  get(container: ContainerId): SandboxId | undefined {
    const path = this.#path(container);
    let entries: string[];
    try {
      entries = readdirSync(path);
    } catch (thrown) {
      const error = asHakoError(thrown);
      if (error.errno === "ENOENT") return undefined;
      throw new HakoError({ code: "system", message: `mapping of container ${container}`, cause: error });
    }
    const [only] = entries;
    if (only === undefined || entries.length !== 1) {
      throw new HakoError({
        code: "system",
        message: `too many files (${entries.length}) in "${path}"`,
        hint: `hako mapping delete ${container} clears it`,
      });
    }
    return during(`"${path}"`, () => sandboxId(only), { code: "system" });
  }

  /** Removes a container's mapping, a broken one too; a missing one is no error. */
  delete(container: ContainerId): void {
    // renamed first, so that nobody sees a directory that is half removed
    const temporary = this.#temporary();
    try {
      renameSync(this.#path(container), temporary);
    } catch (thrown) {
      const error = asHakoError(thrown);
      if (error.errno === "ENOENT") return;
      throw new HakoError({ code: "system", message: `delete the mapping of ${container}`, cause: error });
    }
    rmSync(temporary, { recursive: true, force: true });
  }

  /** All mappings by the container's name; a broken one is told to `warn` and left out. */
  list(warn: (message: string) => void): Mapping[] {
    let names: string[];
    try {
      names = readdirSync(this.directory).sort();
    } catch (thrown) {
      const error = asHakoError(thrown);
      if (error.errno === "ENOENT") return [];
      throw error;
    }
    const mappings: Mapping[] = [];
    for (const name of names) {
      if (name.startsWith(TEMPORARY)) continue;
      try {
        const container = containerId(name);
        const sandbox = this.get(container);
        if (sandbox !== undefined) mappings.push({ container, sandbox });
      } catch (thrown) {
        warn(asHakoError(thrown).oneLine);
      }
    }
    return mappings;
  }
}
