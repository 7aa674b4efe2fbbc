import { type ErrnoName, errnoName, errnoNumber } from "../../base/errno";
import { textOf } from "../call/bytes";
import { AT, O, RESOLVE } from "../call/constants";
import { Fd } from "../call/fd";
import { syscallOn, systemError, trySyscall } from "../call/syscall";
import { hasErrno } from "./file";
import { components, dirname } from "./path-text";
import { fileStatusOf, filesystemOf } from "./stat";
import { FILESYSTEM_MAGIC } from "./statfs";

/**
 * Paths in a root that somebody hostile may own, and may change meanwhile. Nothing here hands a path of more than one
 * component to the kernel without RESOLVE_IN_ROOT: what is found is a descriptor, and stays what it is.
 */

/** As the kernel's MAXSYMLINKS. */
const MAX_SYMLINKS = 40;
const MISSING: readonly ErrnoName[] = ["ENOENT", "ENOTDIR"];
/** openat2 says EAGAIN when a rename raced with a ".."; after so many times the walk does it. */
const MAX_RACES = 32;

/** openat(2) of one name below a directory, close-on-exec. The kernel follows links as usual: for trusted paths. */
export function openAt(dir: Fd | undefined, path: string, flags: number, mode = 0): Fd {
  const at = dir?.number ?? AT.FDCWD;
  return new Fd(syscallOn(path, "openat", at, path, flags | O.CLOEXEC, mode), path);
}

/** Opens a trusted path, or one whose file is not to be used, only to look at what is there; undefined if that can't be had. */
export function openToLook(path: string): Fd | undefined {
  const opened = trySyscall("openat", AT.FDCWD, path, O.PATH | O.CLOEXEC, 0);
  return opened < 0 ? undefined : new Fd(opened, path);
}

/** The text of a symbolic link that is open as O_PATH | O_NOFOLLOW. */
export function readLink(link: Fd): string {
  const buffer = new Uint8Array(4096);
  const length = syscallOn(link.name, "readlinkat", link.number, "", buffer, buffer.length);
  return textOf(buffer.subarray(0, length));
}

/** Opens a path as a process whose root directory is `root` would, without magic links, close-on-exec. */
export function openInRoot(root: Fd, path: string, flags: number, mode = 0): Fd {
  const opened = tryOpenInRoot(root, path, flags, mode);
  if (typeof opened !== "number") return opened;
  throw systemError("openat2", -opened, path);
}

/** `openInRoot` whose failures are -errno, which costs less than an error. Without openat2 it walks, and failures are thrown. */
function tryOpenInRoot(root: Fd, path: string, flags: number, mode: number): Fd | number {
  /** struct open_how: words of 64 bits */
  const how = new Int32Array([flags | O.CLOEXEC, 0, mode, 0, RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS, 0]);
  for (let tries = 0; tries < MAX_RACES; tries++) {
    const result = trySyscall("openat2", root.number, path, how, how.byteLength);
    if (result >= 0) return new Fd(result, path);
    const name = errnoName(-result);
    if (name === "EAGAIN") continue;
    // Before Linux 5.6, and in container engines whose seccomp profile is as old
    if (name === "ENOSYS" || name === "EPERM") break;
    return result;
  }
  return openByWalk(root, path, flags, mode);
}

/** `openInRoot` for files that are often missing, such as masked paths: undefined then, for a thrown error is dear. */
export function openIfThere(root: Fd, path: string, flags: number): Fd | undefined {
  let opened: Fd | number;
  try {
    opened = tryOpenInRoot(root, path, flags, 0);
  } catch (error) {
    if (hasErrno(error, ...MISSING)) return undefined;
    throw error;
  }
  if (typeof opened !== "number") return opened;
  if (MISSING.includes(errnoName(-opened))) return undefined;
  throw systemError("openat2", -opened, path);
}

/** `openInRoot` for kernels and seccomp filters without openat2: opens one component after the other. Exported for its test. */
export function openByWalk(root: Fd, path: string, flags: number, mode = 0): Fd {
  const follow = (flags & O.NOFOLLOW) === 0;
  const create = (flags & O.CREAT) !== 0;
  using walk = new Walk(root, path);
  const found = walk.to(follow, (dir, name, last) =>
    last && create ? openAt(dir, name, flags | O.NOFOLLOW, mode) : undefined,
  );
  if (found.created) return found.fd;
  using node = found.fd;
  const { type } = fileStatusOf(node);
  if (create && (flags & O.EXCL) !== 0) throw systemError("open", "EEXIST", path);
  if ((flags & O.DIRECTORY) !== 0 && type !== "directory") throw systemError("open", "ENOTDIR", path);
  if ((flags & O.PATH) !== 0) return new Fd(node.release(), path);
  // By its name in its own directory: somebody who exchanges it for a link now gets ELOOP.
  const name = found.name ?? ".";
  return openAt(walk.directory, name, (flags & ~O.CREAT) | O.NOFOLLOW, mode);
}

/** Whether a path leads somewhere and nothing on it is a link, as far as one call of openat2 tells. */
export function isWithoutLinks(root: Fd, path: string): boolean {
  const how = new Int32Array([O.PATH | O.CLOEXEC, 0, 0, 0, RESOLVE.IN_ROOT | RESOLVE.NO_SYMLINKS, 0]);
  const opened = trySyscall("openat2", root.number, path, how, how.byteLength);
  if (opened < 0) return false;
  new Fd(opened, path).close();
  return true;
}

/** Opens a path on which nothing is a link: ELOOP, or ENOTDIR of a link on the way. */
export function openWithoutLinks(root: Fd, path: string, flags: number): Fd {
  let found = openAt(root, ".", O.PATH | O.DIRECTORY);
  const names = components(path);
  for (const [index, name] of names.entries()) {
    using above = found;
    const last = index === names.length - 1;
    found = openAt(above, name, O.NOFOLLOW | (last ? flags : O.PATH | O.DIRECTORY));
  }
  if (fileStatusOf(found).type !== "symlink") return found;
  found.close();
  throw systemError("open", "ELOOP", path);
}

/** Makes a directory and those above it that are missing; follows links, in the root. The result is an O_PATH one. */
export function mkdirAllInRoot(root: Fd, path: string, mode = 0o755): Fd {
  const there = openIfThere(root, path, O.PATH);
  return there === undefined ? mkdirMissingInRoot(root, path, mode) : mustBeDirectory(there, path);
}

/** `mkdirAllInRoot` for a caller who has just seen that the directory is missing. */
export function mkdirMissingInRoot(root: Fd, path: string, mode = 0o755): Fd {
  const made = mkdirLastInRoot(root, path, mode);
  if (made !== undefined) return made;
  using walk = new Walk(root, path);
  const { fd } = walk.to(true, (dir, name) => mkdirAt(dir, name, mode));
  return mustBeDirectory(fd, path);
}

/** Where nothing but the last component is missing, and there is no link in its place: three calls. undefined elsewhere. */
function mkdirLastInRoot(root: Fd, path: string, mode: number): Fd | undefined {
  const name = components(path).at(-1);
  if (name === undefined || name === "..") return undefined;
  using above = openIfThere(root, dirname(path), O.PATH | O.DIRECTORY);
  if (above === undefined || trySyscall("mkdirat", above.number, name, mode) < 0) return undefined;
  return openAt(above, name, O.PATH | O.NOFOLLOW | O.DIRECTORY);
}

/** Makes one directory; something may be there already. */
export function makeDirectoryAt(dir: Fd, name: string, mode: number): void {
  const result = trySyscall("mkdirat", dir.number, name, mode);
  if (result < 0 && -result !== errnoNumber("EEXIST")) throw systemError("mkdirat", -result, name);
}

/** Makes one directory if it is missing, and opens it as O_PATH; a link in its place is refused. */
export function mkdirAt(dir: Fd, name: string, mode: number): Fd {
  makeDirectoryAt(dir, name, mode);
  return openAt(dir, name, O.PATH | O.NOFOLLOW | O.DIRECTORY);
}

/** Makes an empty file, and the directories above it that are missing; what exists is opened as O_PATH. */
export function createFileInRoot(root: Fd, path: string, mode = 0o644): Fd {
  const there = openIfThere(root, path, O.PATH);
  if (there !== undefined) return there;
  using walk = new Walk(root, path);
  return walk.to(true, (dir, name, last) =>
    last ? openAt(dir, name, O.CREAT | O.EXCL | O.NOFOLLOW | O.NOCTTY, mode) : mkdirAt(dir, name, 0o755),
  ).fd;
}

function mustBeDirectory(fd: Fd, path: string): Fd {
  if (fileStatusOf(fd).type === "directory") return fd;
  fd.close();
  throw systemError("mkdir", "ENOTDIR", path);
}

interface Found {
  fd: Fd;
  /** Its name in `Walk.directory`; undefined for the directory itself. */
  name: string | undefined;
  created: boolean;
}

/** What to do about a missing component: make it, or undefined for ENOENT. `last` is the path's last component. */
type Missing = (dir: Fd, name: string, last: boolean) => Fd | undefined;

/** A walk below a root: every directory on the way is held open, so ".." is where we came from, whatever moved. */
class Walk {
  readonly #root: Fd;
  readonly #path: string;
  readonly #held: Fd[] = [];
  readonly #rest: string[];
  #links = 0;

  constructor(root: Fd, path: string) {
    if (path === "") throw systemError("open", "ENOENT", path);
    this.#root = root;
    this.#path = path;
    this.#rest = components(path).reverse();
  }

  get directory(): Fd {
    return this.#held.at(-1) ?? this.#root;
  }

  [Symbol.dispose](): void {
    this.#rewind();
  }

  #rewind(): void {
    for (const fd of this.#held.splice(0)) fd.close();
  }

  to(followLast: boolean, missing: Missing): Found {
    for (;;) {
      const name = this.#rest.pop();
      if (name === undefined) {
        return { fd: openAt(this.directory, ".", O.PATH | O.DIRECTORY), name: undefined, created: false };
      }
      if (name === "..") {
        this.#held.pop()?.close();
        continue;
      }
      const last = this.#rest.length === 0;
      const { fd, created } = this.#step(name, last, missing);
      if (created && last) return { fd, name, created };
      const { type } = fileStatusOf(fd);
      if (type === "symlink" && (!last || followLast)) this.#follow(fd);
      else if (last) return { fd, name, created: false };
      else if (type === "directory") this.#held.push(fd);
      else {
        fd.close();
        throw systemError("open", "ENOTDIR", this.#path);
      }
    }
  }

  #step(name: string, last: boolean, missing: Missing): { fd: Fd; created: boolean } {
    const result = trySyscall("openat", this.directory.number, name, O.PATH | O.NOFOLLOW | O.CLOEXEC, 0);
    if (result >= 0) return { fd: new Fd(result, this.#path), created: false };
    if (-result !== errnoNumber("ENOENT")) throw systemError("open", -result, this.#path);
    const made = missing(this.directory, name, last);
    if (made === undefined) throw systemError("open", "ENOENT", this.#path);
    return { fd: made, created: true };
  }

  #follow(link: Fd): void {
    using fd = link;
    const target = readLink(fd);
    this.#links += 1;
    // procfs' magic links lead out of any root; their texts do not, but are not where they lead either
    const magic = filesystemOf(fd) === FILESYSTEM_MAGIC.proc && /^\/|[:[]/.test(target);
    if (magic || this.#links > MAX_SYMLINKS) throw systemError("open", "ELOOP", this.#path);
    if (target.startsWith("/")) this.#rewind();
    this.#rest.push(...components(target).reverse());
  }
}
