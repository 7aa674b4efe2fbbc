import { UndoStack } from "../../../base/undo";
import { LOCK } from "../../../linux/call/constants";
import {
  listNames,
  makeDirectories,
  makeDirectory,
  removeFile,
  removeTree,
  renameFile,
  statusAt,
} from "../../../linux/file/file";
import { logWarning } from "../../../output/log";
import { lockFile, tryLockFile } from "../../../state/file-lock";
import { checkWay } from "../../../state/trusted-path";

const TEMPORARY = ".tmp";
const LOCKED = ".lock";
const KEY = /^[0-9a-f]{40}$/;

/** What a file is known by, as it is now. */
export function fileIdentity(path: string): string {
  const status = statusAt(path);
  if (status === undefined) return `${path} is not there`;
  const { device, inode, size, modified, changed } = status;
  return [path, device, inode, size, ...modified, ...changed].join(" ");
}

/** A name made of all that decides what something is. */
export function keyOfParts(parts: readonly string[]): string {
  return new Bun.CryptoHasher("sha256").update(parts.join("\n")).digest("hex").slice(0, 40);
}

export interface CacheEntry {
  key: string;
  /** Its directory. */
  path: string;
  /** When it was made, in milliseconds since 1970. */
  made: number;
}

/** An entry that stays in the cache as long as this is not disposed of. */
export interface HeldEntry extends CacheEntry, Disposable {
  /** Whether it was made now, by this command. */
  isNew: boolean;
}

/**
 * A cache that is its user's alone: `<directory>/KEY`, a directory for each entry. What is being made is in `KEY.tmp`, and becomes an entry by a
 * rename; who has locked `KEY.lock` makes it, or uses it.
 */
export class KeyedCache {
  constructor(
    readonly directory: string,
    /** What errors call it. */
    readonly what: string,
  ) {}

  /**
   * An entry; `make` fills its directory if it is not here, or was made before `oldest`, and others that nobody uses are removed then. Of several
   * commands that ask at once one makes it.
   */
  entry(key: string, make: (directory: string) => void, oldest = 0): HeldEntry {
    checkWay(this.what, this.directory);
    makeDirectories(this.directory, 0o700);
    checkWay(this.what, this.directory);
    // another command may remove it before it is held here
    for (let isNew = false; ; ) {
      const known = this.find(key, isNew ? 0 : oldest, isNew);
      if (known !== undefined) return known;
      isNew = this.#makeOnce(key, make, oldest);
      if (isNew) this.#removeOthers(key);
    }
  }

  /** An entry that is here, and was not made before `oldest`. */
  find(key: string, oldest = 0, isNew = false): HeldEntry | undefined {
    if (!this.#isThere(key, oldest)) return undefined;
    const hold = lockFile(this.#path(key + LOCKED), LOCK.SH);
    if (this.#isThere(key, oldest))
      return { ...this.#entryOf(key), isNew, [Symbol.dispose]: () => hold.close() };
    hold.close();
    return undefined;
  }

  /** Whether this command has made it, and no other. */
  #makeOnce(key: string, make: (directory: string) => void, oldest: number): boolean {
    using _ = lockFile(this.#path(key + LOCKED), LOCK.EX);
    if (this.#isThere(key, oldest)) return false;
    const [path, temporary] = [this.#path(key), this.#path(key + TEMPORARY)];
    this.#removeLeft();
    removeTree(temporary);
    // what is removed is not half there meanwhile
    if (statusAt(path) !== undefined) renameFile(path, temporary);
    removeTree(temporary);
    using undo = new UndoStack((error) => logWarning(error.oneLine));
    undo.defer(temporary, () => removeTree(temporary));
    makeDirectory(temporary, 0o700);
    make(temporary);
    renameFile(temporary, path);
    undo.commit();
    return true;
  }

  #path(name: string): string {
    return `${this.directory}/${name}`;
  }

  #isThere(key: string, oldest: number): boolean {
    return statusAt(this.#path(key)) !== undefined && this.#entryOf(key).made >= oldest;
  }

  #entryOf(key: string): CacheEntry {
    const path = this.#path(key);
    const [seconds, nanoseconds] = statusAt(path)?.modified ?? [0n, 0n];
    return { key, path, made: 1000 * Number(seconds) + Number(nanoseconds) / 1e6 };
  }

  /** Removes what commands have left that were killed. */
  #removeLeft(): void {
    for (const name of listNames(this.directory))
      if (name.endsWith(TEMPORARY)) this.#remove(name.slice(0, -TEMPORARY.length), name);
  }

  /** Removes an entry, unless somebody makes or uses it. */
  #remove(key: string, name: string): boolean {
    using lock = tryLockFile(this.#path(key + LOCKED), LOCK.EX | LOCK.NB);
    if (lock === undefined) return false;
    const temporary = this.#path(key + TEMPORARY);
    // a reader sees all of it or nothing
    if (name !== key + TEMPORARY) renameFile(this.#path(name), temporary);
    removeTree(temporary);
    removeFile(this.#path(key + LOCKED));
    return true;
  }

  /** Removes other entries that nobody uses, and what killed commands have left. */
  #removeOthers(kept: string): void {
    this.#removeLeft();
    for (const { key } of this.list()) if (key !== kept) this.#remove(key, key);
  }

  /** Removes all entries that nobody makes or uses, and what killed commands have left; those that were removed, and those that are used. */
  clear(): { removed: CacheEntry[]; used: CacheEntry[] } {
    const all = this.list();
    if (all.length > 0) this.#removeLeft();
    const removed = all.filter(({ key }) => this.#remove(key, key));
    return { removed, used: all.filter((entry) => !removed.includes(entry)) };
  }

  /** Oldest first. */
  list(): CacheEntry[] {
    if (statusAt(this.directory) === undefined) return [];
    checkWay(this.what, this.directory);
    return listNames(this.directory)
      .filter((name) => KEY.test(name))
      .map((key) => this.#entryOf(key))
      .sort((one, other) => one.made - other.made);
  }
}
