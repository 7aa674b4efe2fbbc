import { asHakoError, during, HakoError } from "../base/errors";
import {
  hasErrno,
  listNames,
  makeDirectories,
  makeDirectory,
  makeNewDirectory,
  removeDirectory,
  removeTree,
  renameFile,
} from "../linux/file/file";
import { join, resolve } from "../linux/file/path-text";
import { processStatus } from "../linux/process/process";
import { type ContainerId, containerId, MAPPINGS, type SandboxId, sandboxId } from "../oci/id";
import { logWarning } from "../output/log";

/** Mode of every directory of the store. */
const MODE = 0o750;
/** No id contains this character. A name that begins with it is a claim or a removal, under way or cut off. */
const TEMPORARY = "#";

/** Makes names, with pid and time, that no other process uses, now or later. The pid tells which process the name belongs to. */
let temporaries = 0;

export interface Mapping {
  container: ContainerId;
  sandbox: SandboxId;
}

/** Paths of a mapping that is to be removed. */
export interface MappingRemoval {
  path: string;
  /** The name that the mapping gets first, so that nobody sees it half removed. */
  temporary: string;
  /** The paths to remove then, in this order. */
  directories: readonly string[];
  /** The store's directory, which goes with the last mapping. */
  store: string;
}

/**
 * Which container is in which sandbox: a directory for each container, with one entry, the sandbox's id. The store's own directory comes with
 * the first mapping and goes with the last.
 */
export class MappingStore {
  readonly directory: string;

  constructor(root: string) {
    this.directory = join(resolve(root), MAPPINGS);
  }

  #path(id: ContainerId): string {
    return join(this.directory, id);
  }

  #temporary(): string {
    return join(
      this.directory,
      `${TEMPORARY}${process.pid}.${(temporaries++).toString(36)}.${Date.now().toString(36)}`,
    );
  }

  /**
   * Claims a container's id for a sandbox: of several at once exactly one succeeds, since rename(2) puts a directory
   * over an empty one (what a crash may have left) but never over a full one. The same pair again fails too:
   * whoever claims must know that nobody else holds the id, and whoever fails must not take the claim back.
   */
  add(container: ContainerId, sandbox: SandboxId): void {
    makeDirectories(resolve(this.directory, ".."), 0o711);
    const temporary = this.#makeTemporary();
    try {
      makeDirectory(join(temporary, sandbox), MODE);
      renameFile(temporary, this.#path(container));
    } catch (thrown) {
      removeTree(temporary);
      this.#removeIfEmpty();
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

  /** An empty directory in the store, which is made for it; another command may remove the store meanwhile, while it is empty. */
  #makeTemporary(): string {
    const temporary = this.#temporary();
    for (;;) {
      makeNewDirectory(this.directory, MODE);
      try {
        makeDirectory(temporary, MODE);
        return temporary;
      } catch (thrown) {
        if (hasErrno(thrown, "ENOENT")) continue;
        this.#removeIfEmpty();
        throw thrown;
      }
    }
  }

  /** Removes the store's directory when it is empty. A mapping that another command makes is safe: rmdir(2) fails, or that mkdir(2) does. */
  #removeIfEmpty(): void {
    try {
      removeDirectory(this.directory);
    } catch (thrown) {
      if (!hasErrno(thrown, "ENOTEMPTY", "EEXIST", "ENOENT")) throw thrown;
    }
  }

  /** The sandbox of a container; undefined when there is none, which is no error. */
  get(container: ContainerId): SandboxId | undefined {
    const path = this.#path(container);
    let entries: string[];
    try {
      entries = listNames(path);
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
    this.#sweep();
    this.#remove(container);
    this.#removeIfEmpty();
  }

  /** What `delete` does with a whole mapping, as paths, for the attendant, which does it without this class. */
  removal(container: ContainerId, sandbox: SandboxId): MappingRemoval {
    const temporary = this.#temporary();
    return {
      path: this.#path(container),
      temporary,
      directories: [join(temporary, sandbox), temporary],
      store: this.directory,
    };
  }

  #remove(container: ContainerId): void {
    // renamed first, so that nobody sees a directory that is half removed
    const temporary = this.#temporary();
    try {
      renameFile(this.#path(container), temporary);
    } catch (thrown) {
      const error = asHakoError(thrown);
      if (error.errno === "ENOENT") return;
      throw new HakoError({ code: "system", message: `delete the mapping of ${container}`, cause: error });
    }
    removeTree(temporary);
  }

  /** Removes claims and removals of processes that have ended in the middle. */
  #sweep(): void {
    for (const name of this.#names()) {
      const pid = /^#(\d+)\./.exec(name)?.[1];
      if (pid !== undefined && processStatus(Number(pid)) === undefined) {
        removeTree(join(this.directory, name));
      }
    }
  }

  #names(): string[] {
    try {
      return listNames(this.directory).sort();
    } catch (error) {
      if (hasErrno(error, "ENOENT")) return [];
      throw error;
    }
  }

  /** The other containers of a container's sandbox. */
  othersOf({ id, sandbox }: { id: ContainerId; sandbox: SandboxId }): ContainerId[] {
    const others = this.list().filter((each) => each.sandbox === sandbox && each.container !== id);
    return others.map(({ container }) => container);
  }

  /** All mappings, ordered by the container's id. A broken one is left out with a warning. */
  list(): Mapping[] {
    const mappings: Mapping[] = [];
    for (const name of this.#names()) {
      if (name.startsWith(TEMPORARY)) continue;
      try {
        const container = containerId(name);
        const sandbox = this.get(container);
        if (sandbox !== undefined) mappings.push({ container, sandbox });
      } catch (thrown) {
        logWarning(asHakoError(thrown).oneLine);
      }
    }
    return mappings;
  }
}
