import { HakoError } from "../base/errors";
import { AT, LOCK, O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { syscall, trySyscall } from "../linux/call/syscall";
import { listNames, statusAt } from "../linux/file/file";
import { mkdirAt, openAt, openIfThere, openInRoot } from "../linux/file/path";
import { basename, components, dirname } from "../linux/file/path-text";
import { fileStatusOf } from "../linux/file/stat";
import { isMarked, MARKED, unmark } from "./marked-file";
import { isRootOfProcess } from "./root-in-use";

/**
 * What a root file system lacks of the places that a container's mounts are on: made for the container, and removed at its end. Their
 * modes mark them, so that of several containers of one root file system the last one removes them, and the next one those of a hako that was
 * killed.
 */

/** A place in a root file system; absolute, without links. */
export interface MountPoint {
  path: string;
  /** A file, and not a directory. */
  file: boolean;
}

/** What is to be removed, by its place, and its device and inode. */
export interface MadeMountPoint {
  path: string;
  identity: string;
}

/** Others take and leave the lock within milliseconds. */
const TRIES = 200;
const PAUSE_MS = 2;
/** Marks below are whoever's who writes there. */
const DEEPEST = 32;

export class MountPoints implements Disposable {
  readonly made: MadeMountPoint[] = [];
  readonly #lock: Fd;

  private constructor(lock: Fd) {
    this.#lock = lock;
  }

  /** Makes what is missing. Until this is disposed of nobody removes them: by then the container has this root directory. */
  static make(rootfs: string, wanted: readonly MountPoint[]): MountPoints {
    const points = new MountPoints(openAt(undefined, rootfs, O.RDONLY | O.DIRECTORY));
    lock(points.#lock, LOCK.SH);
    const umask = syscall("umask", 0);
    try {
      for (const point of wanted) points.#makeOne(point);
    } catch (error) {
      // the mount itself will say what is wrong
      if (!(error instanceof HakoError)) throw error;
    } finally {
      syscall("umask", umask);
    }
    return points;
  }

  #makeOne({ path, file }: MountPoint): void {
    const names = components(path);
    for (let length = 1; length <= names.length; length++) {
      const place = `/${names.slice(0, length).join("/")}`;
      using there = openIfThere(this.#lock, place, O.PATH | O.NOFOLLOW);
      if (there !== undefined) {
        if (isMarked(there)) this.#add(place, there);
        continue;
      }
      using above = openInRoot(this.#lock, dirname(place), O.PATH | O.DIRECTORY);
      const name = basename(place);
      const flags = O.CREAT | O.EXCL | O.NOFOLLOW | O.NOCTTY;
      using made =
        file && length === names.length
          ? openAt(above, name, flags, MARKED.file)
          : mkdirAt(above, name, MARKED.directory);
      this.#add(place, made);
    }
  }

  #add(path: string, fd: Fd): void {
    if (this.made.some((each) => each.path === path)) return;
    this.made.push({ path, identity: identityOf(fd) });
  }

  [Symbol.dispose](): void {
    this.#lock.close();
  }
}

/** Removes those that are still as they were made, unless another process has this root directory: that one's mounts would go with them. */
export function removeMountPoints(rootfs: string, made: readonly MadeMountPoint[]): void {
  if (statusAt(rootfs)?.type !== "directory") return;
  using root = openAt(undefined, rootfs, O.RDONLY | O.DIRECTORY);
  // another container that is being made or removed has the same to do
  if (!lock(root, LOCK.EX) || isRootOfProcess(root)) return;
  removeMarked(root, DEEPEST);
  // where there are no marks, or above them something of the user's
  const deepestFirst = made.toSorted(
    (one, other) => components(other.path).length - components(one.path).length,
  );
  for (const { path, identity } of deepestFirst) {
    using above = openIfThere(root, dirname(path), O.PATH | O.DIRECTORY);
    if (above === undefined) continue;
    using there = openIfThere(above, basename(path), O.PATH | O.NOFOLLOW);
    if (there !== undefined && identityOf(there) === identity) remove(above, basename(path), there);
  }
}

/** What other containers have left there: they ended while this one had the root directory, or were killed. */
function removeMarked(directory: Fd, depth: number): void {
  if (depth === 0) return;
  for (const name of listNames(directory.path)) {
    using there = openIfThere(directory, name, O.PATH | O.NOFOLLOW);
    if (there === undefined || !isMarked(there)) continue;
    if (fileStatusOf(there).type === "directory") removeMarked(there, depth - 1);
    remove(directory, name, there);
  }
}

/** Removes what is empty. Else it has become the user's: something is in it, or mounted on it. */
function remove(above: Fd, name: string, there: Fd): void {
  const { type, size } = fileStatusOf(there);
  const isEmpty = type === "directory" || (type === "file" && size === 0);
  const flags = type === "directory" ? AT.REMOVEDIR : 0;
  if (!isEmpty || trySyscall("unlinkat", above.number, name, flags) < 0) unmark(there);
}

function lock(directory: Fd, kind: number): boolean {
  for (let tries = 0; trySyscall("flock", directory.number, kind | LOCK.NB) < 0; tries++) {
    if (tries === TRIES) return false;
    Bun.sleepSync(PAUSE_MS);
  }
  return true;
}

function identityOf(file: Fd): string {
  const { device, inode } = fileStatusOf(file);
  return `${device} ${inode}`;
}
