import { COMMIT, VERSION } from "../../../base/hako-version";
import { UndoStack } from "../../../base/undo";
import { LOCK } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
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
import { userDirectory } from "../../../state/user-directory";
import { GUEST_FILES, type KernelSource, writeGuestFiles } from "./guest-files";
import { GUEST_MODULES, OF_CONTAINERS } from "./kernel-modules";
import { EXECUTABLE, loadedObjects } from "./shared-objects";

/**
 * Guests: `<cache>/KEY` with the three files of each. What is being made is in `KEY.tmp`, and becomes a guest by a rename; who has locked
 * `KEY.lock` makes it, or uses it.
 */
const TEMPORARY = ".tmp";
const LOCKED = ".lock";
const KEY = /^[0-9a-f]{40}$/;
/** Of the files' form: another one makes all guests anew. */
const FORMAT = 3;

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

/** The name of a kernel's guest: another kernel, another hako or another libc make another one. */
export function guestKey({ path, modules }: KernelSource): string {
  const objects = loadedObjects().flatMap(({ content }) => ("file" in content ? [content.file] : []));
  const used = [...GUEST_MODULES, ...OF_CONTAINERS].map((name) => modules.find(name) ?? name);
  const files = [EXECUTABLE, ...objects, path, `${modules.path}/modules.order`, ...used];
  return keyOfParts([`format ${FORMAT}`, VERSION, COMMIT, ...files.map(fileIdentity)]);
}

/** A guest that stays in the cache as long as this is not disposed of. */
export interface CachedGuest extends Disposable {
  key: string;
  kernel: string;
  initramfs: string;
  image: string;
  /** Whether it was made now. */
  made: boolean;
}

/** What is in the cache. */
export interface GuestEntry {
  key: string;
  /** Of its files, in bytes. */
  size: number;
  /** When it was made, in milliseconds since 1970. */
  made: number;
}

export class GuestCache {
  readonly directory: string;

  constructor(directory = `${userDirectory("cache", "guests of machines")}/machines`) {
    this.directory = directory;
  }

  /**
   * The guest of a kernel; it is made if it is not here yet, or with `anew`, and others that nobody uses are removed then. Of several that are
   * called at once one makes it.
   */
  guest(kernel: KernelSource, anew = false): CachedGuest {
    checkWay("cache of guests", this.directory);
    makeDirectories(this.directory, 0o700);
    checkWay("cache of guests", this.directory);
    const key = guestKey(kernel);
    // another command may remove it before it is held here
    for (let made = false, force = anew; ; force = false) {
      const known = force ? undefined : this.#known(key, made);
      if (known !== undefined) return known;
      made = this.#makeOnce(key, kernel, force);
      if (made) this.#removeOthers(key);
    }
  }

  /** Whether this command has made it, and no other. */
  #makeOnce(key: string, kernel: KernelSource, anew: boolean): boolean {
    using _ = lockFile(this.#path(key + LOCKED), LOCK.EX);
    const there = statusAt(this.#path(key)) !== undefined;
    if (there && !anew) return false;
    removeTree(this.#path(key + TEMPORARY));
    // what is removed is not half there meanwhile
    if (there) renameFile(this.#path(key), this.#path(key + TEMPORARY));
    this.#make(key, kernel);
    return true;
  }

  #path(name: string): string {
    return `${this.directory}/${name}`;
  }

  #known(key: string, made = false): CachedGuest | undefined {
    const hold = this.#hold(key);
    if (hold === undefined) return undefined;
    const place = (file: keyof typeof GUEST_FILES) => `${this.#path(key)}/${GUEST_FILES[file]}`;
    return {
      key,
      kernel: place("kernel"),
      initramfs: place("initramfs"),
      image: place("image"),
      made,
      [Symbol.dispose]: () => hold.close(),
    };
  }

  #hold(key: string): Fd | undefined {
    if (statusAt(this.#path(key)) === undefined) return undefined;
    const hold = lockFile(this.#path(key + LOCKED), LOCK.SH);
    if (statusAt(this.#path(key)) !== undefined) return hold;
    hold.close();
    return undefined;
  }

  #make(key: string, kernel: KernelSource): void {
    this.#removeLeft();
    const temporary = this.#path(key + TEMPORARY);
    removeTree(temporary);
    using undo = new UndoStack((error) => logWarning(error.oneLine));
    undo.defer(temporary, () => removeTree(temporary));
    makeDirectory(temporary, 0o700);
    writeGuestFiles(temporary, kernel);
    renameFile(temporary, this.#path(key));
    undo.commit();
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

  /** Removes the guests of other kernels and other hakos that nobody uses, and what killed commands have left. */
  #removeOthers(kept: string): void {
    this.#removeLeft();
    for (const { key } of this.list()) if (key !== kept) this.#remove(key, key);
  }

  list(): GuestEntry[] {
    if (statusAt(this.directory) === undefined) return [];
    checkWay("cache of guests", this.directory);
    return listNames(this.directory)
      .filter((name) => KEY.test(name))
      .map((key) => {
        const sizes = Object.values(GUEST_FILES).map(
          (file) => statusAt(this.#path(`${key}/${file}`))?.size ?? 0,
        );
        const size = sizes.reduce((sum, each) => sum + each, 0);
        return { key, size, made: 1000 * Number(statusAt(this.#path(key))?.modified[0] ?? 0n) };
      })
      .sort((one, other) => one.made - other.made);
  }
}
