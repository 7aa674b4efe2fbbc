import { type ErrnoName, errnoName, errnoNumber } from "../../base/errno";
import { HakoError } from "../../base/errors";
import { bytesOf, concatenated, textOf } from "../call/bytes";
import { ACCESS, AT, LIMIT, O } from "../call/constants";
import { Fd } from "../call/fd";
import type { Step } from "../call/step";
import { syscallOn, systemError, trySyscall } from "../call/syscall";
import type { SyscallName } from "../call/syscall-numbers";
import { type FileStatus, type FileType, fileStatusOf, tryStatus, typeOfMode } from "./stat";

/**
 * Files at paths that we trust: the host's, and the container's after we have entered it. System calls of our own, because
 * node:fs costs every command more than a millisecond to load, and throws errors of another class.
 */

const CHUNK = 65536;

/** Whether an error came from a system call that failed so. */
export function hasErrno(error: unknown, ...names: readonly ErrnoName[]): boolean {
  return error instanceof HakoError && error.errno !== undefined && names.includes(error.errno);
}

/** -errno of what can't be opened. */
function tryOpen(path: string, flags: number, mode = 0): Fd | number {
  const result = trySyscall("openat", AT.FDCWD, path, flags | O.CLOEXEC, mode);
  return result < 0 ? result : new Fd(result, path);
}

function open(path: string, flags: number, mode = 0): Fd {
  const opened = tryOpen(path, flags, mode);
  if (typeof opened === "number") throw systemError("open", -opened, path);
  return opened;
}

/** A call whose failures with certain errnos are no failures. */
function tolerate(
  names: readonly ErrnoName[],
  path: string,
  call: SyscallName,
  ...args: (number | string)[]
): boolean {
  const result = trySyscall(call, ...args);
  if (result >= 0) return true;
  if (names.includes(errnoName(-result))) return false;
  throw systemError(call, -result, path);
}

/** All bytes of a file. */
export function readBytes(path: string): Uint8Array<ArrayBuffer> {
  using file = open(path, 0);
  const bytes = readAll(file);
  if (typeof bytes === "number") throw systemError("read", -bytes, path);
  return bytes;
}

/** The text of a file; undefined where it can't be opened or read, which costs less than to throw and catch. */
export function tryReadText(path: string): string | undefined {
  const opened = tryOpen(path, 0);
  if (typeof opened === "number") return undefined;
  using file = opened;
  const bytes = readAll(file);
  return typeof bytes === "number" ? undefined : textOf(bytes);
}

/** The bytes of a file that a program has made, which may be anything: undefined of what is no file, or longer than `most`, and of links. */
export function readOrdinaryFile(path: string, most: number): Uint8Array<ArrayBuffer> | undefined {
  const opened = tryOpen(path, O.NOFOLLOW | O.NONBLOCK);
  if (typeof opened === "number") return undefined;
  using file = opened;
  if (fileStatusOf(file).type !== "file") return undefined;
  const bytes = readAll(file, most);
  return typeof bytes === "number" || bytes.length > most ? undefined : bytes;
}

/** -errno if it can't be read. More than `most` bytes are not read to their end. */
function readAll(file: Fd, most = Number.POSITIVE_INFINITY): Uint8Array<ArrayBuffer> | number {
  const parts: Uint8Array[] = [];
  for (let left = most; ; ) {
    const part = readPart(file);
    if (typeof part === "number") return part;
    if (part.length > 0) parts.push(part.slice());
    left -= part.length;
    if (part.length === 0 || left < 0) return concatenated(parts);
  }
}

/**
 * One buffer that all reads share; what was read is copied out of it. Most files are small, and new memory costs more than a
 * short copy.
 */
let scratch: Uint8Array | undefined;

/** What the next read gives, up to the next call of this function, or -errno. */
function readPart(file: Fd): Uint8Array | number {
  scratch ??= new Uint8Array(CHUNK);
  const length = trySyscall("read", file.number, scratch, CHUNK);
  return length < 0 ? length : scratch.subarray(0, length);
}

/** The first bytes of an open file, as many as are there without waiting. */
export function readAtMost(file: Fd, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let done = 0; done < size; ) {
    const length = trySyscall("read", file.number, bytes.subarray(done), size - done);
    if (length <= 0) return bytes.subarray(0, done);
    done += length;
  }
  return bytes;
}

export function readText(path: string): string {
  return textOf(readBytes(path));
}

/** The text of a file that may be anybody's, or a device, which has no end: an error where it is longer than so many bytes. */
export function readTextWithin(path: string, most: number): string {
  using file = open(path, 0);
  const bytes = readAll(file, most);
  if (typeof bytes === "number") throw systemError("read", -bytes, path);
  if (bytes.length <= most) return textOf(bytes);
  throw new HakoError({ code: "config", message: `${path} has more than ${most} bytes`, path });
}

/** Writes all of it: several calls only where a file takes less at once. */
export function writeAllTo(fd: number, bytes: Uint8Array, path: string): void {
  for (let done = 0; done < bytes.length; ) {
    const rest = bytes.subarray(done);
    done += syscallOn(path, "write", fd, rest, rest.length);
  }
}

function write(path: string, data: string | Uint8Array, flags: number, mode: number): void {
  using file = open(path, flags, mode);
  writeAllTo(file.number, typeof data === "string" ? bytesOf(data) : data, path);
}

/** Writes a file anew. */
export function writeText(path: string, text: string, mode = 0o666): void {
  write(path, text, O.WRONLY | O.CREAT | O.TRUNC, mode);
}

/** Writes a file that must not be there yet, not even as a link. */
export function writeNewText(path: string, text: string, mode: number): void {
  write(path, text, O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW, mode);
}

export function writeBytes(path: string, bytes: Uint8Array, mode = 0o666): void {
  write(path, bytes, O.WRONLY | O.CREAT | O.TRUNC, mode);
}

/** Writes to a file that must exist, in one call: files of procfs and of cgroups. */
export function writeValueTo(path: string, text: string): void {
  write(path, text, O.WRONLY | O.TRUNC, 0);
}

/** Opens a file that must exist, to write several values, each in one call. */
export function openToWrite(path: string): Fd {
  return open(path, O.WRONLY | O.TRUNC);
}

/** Opens a file to write it anew; makes one that is missing. */
export function openToReplace(path: string, mode = 0o666): Fd {
  return open(path, O.WRONLY | O.CREAT | O.TRUNC | O.NOCTTY, mode);
}

/** Opens a file to write at its end, whatever that is at each write; makes one that is missing. */
export function openToAppend(path: string, mode = 0o666): Fd {
  return open(path, O.WRONLY | O.CREAT | O.APPEND, mode);
}

export function makeDirectory(path: string, mode = 0o777): void {
  if (!makeNewDirectory(path, mode)) throw systemError("mkdir", "EEXIST", path);
}

/** Makes a directory; false if something of that name is there already. */
export function makeNewDirectory(path: string, mode = 0o777): boolean {
  const result = trySyscall("mkdirat", AT.FDCWD, path, mode);
  if (result >= 0) return true;
  if (errnoName(-result) === "EEXIST") return false;
  throw systemError("mkdir", -result, path);
}

/** Makes a directory and those above it that are missing; one that exists is fine. */
export function makeDirectories(path: string, mode = 0o777): void {
  if (tolerate(["EEXIST", "ENOENT"], path, "mkdirat", AT.FDCWD, path, mode)) return;
  if (statusAt(path)?.type === "directory") return;
  const slash = path.replace(/\/+$/, "").lastIndexOf("/");
  if (slash > 0) makeDirectories(path.slice(0, slash), mode);
  if (!tolerate(["EEXIST"], path, "mkdirat", AT.FDCWD, path, mode) && statusAt(path)?.type !== "directory") {
    throw systemError("mkdir", "ENOTDIR", path);
  }
}

export function renameFile(from: string, to: string): void {
  const result = trySyscall("renameat2", AT.FDCWD, from, AT.FDCWD, to, 0);
  if (result < 0) throw systemError("rename", -result, `${from} to ${to}`);
}

/** Removes a file; a missing one is no error. */
export function removeFile(path: string): void {
  tolerate(["ENOENT"], path, "unlinkat", AT.FDCWD, path, 0);
}

/** Removes an empty directory. */
export function removeDirectory(path: string): void {
  const result = trySyscall("unlinkat", AT.FDCWD, path, AT.REMOVEDIR);
  if (result < 0) throw systemError("rmdir", -result, path);
}

/** Removes an empty directory by its name (one of `directoryNames`) in an open directory; false if it is busy, not empty or gone. */
export function tryRemoveDirectory(above: Fd, name: Uint8Array): boolean {
  const result = trySyscall("unlinkat", above.number, name, AT.REMOVEDIR);
  if (result === 0) return true;
  if (["EBUSY", "ENOTEMPTY", "ENOENT"].includes(errnoName(-result))) return false;
  throw systemError("rmdir", -result, `${above.path}/${nameOf(name)}`);
}

/**
 * Removes a file or a directory with all that is in it, without following links; a missing one is no error, nor is one that
 * somebody else removes meanwhile.
 */
export function removeTree(path: string): void {
  const result = trySyscall("unlinkat", AT.FDCWD, path, 0);
  if (result >= 0 || -result === errnoNumber("ENOENT")) return;
  if (-result !== errnoNumber("EISDIR")) throw systemError("unlinkat", -result, path);
  for (const name of namesIfThere(path)) removeTree(`${path}/${name}`);
  tolerate(["ENOENT"], path, "unlinkat", AT.FDCWD, path, AT.REMOVEDIR);
}

/** The names in a directory; none if the directory is gone, which the kernel may say when it is opened or when it is read. */
function namesIfThere(path: string): string[] {
  try {
    return listNames(path);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
}

interface Entry {
  /** Its name with the NUL at its end, as system calls take it: it may be any bytes. */
  name: Uint8Array;
  /** DT_* of dirent.h: the bits of a mode that say the type. */
  type: number;
}

const DOTS: ReadonlySet<string> = new Set([".", ".."]);
const DT_DIR = 4;
const HEADER = 19; // d_ino, d_off, d_reclen, d_type

/** What is in a directory, in no order (getdents64(2)). */
function entries(path: string): Entry[] {
  using dir = open(path, O.DIRECTORY);
  const found: Entry[] = [];
  scratch ??= new Uint8Array(CHUNK);
  const buffer = scratch;
  const view = new DataView(buffer.buffer);
  for (;;) {
    const length = syscallOn(path, "getdents64", dir.number, buffer, CHUNK);
    if (length === 0) return found;
    for (let at = 0; at + HEADER < length; at += Math.max(view.getUint16(at + 16, true), HEADER)) {
      const end = buffer.indexOf(0, at + HEADER);
      const name = buffer.slice(at + HEADER, end + 1);
      if (!DOTS.has(nameOf(name))) found.push({ name, type: buffer[at + 18] ?? 0 });
    }
  }
}

function nameOf(name: Uint8Array): string {
  return textOf(name.subarray(0, -1));
}

/** The names in a directory. */
export function listNames(path: string): string[] {
  return entries(path).map(({ name }) => nameOf(name));
}

/** The names in a directory, and what they are: none of these is looked at, but where the file system doesn't say it itself. */
export function directoryEntries(path: string): { name: string; type: FileType | undefined }[] {
  return entries(path).map((entry) => {
    const name = nameOf(entry.name);
    return { name, type: typeOfMode(entry.type << 12) ?? statusAt(`${path}/${name}`, false)?.type };
  });
}

/** The names of directories in a directory of a file system that knows types (not so: some old ones on disk). */
export function listDirectories(path: string): string[] {
  return directoryNames(path).map(nameOf);
}

/** The names of the directories in a directory as `openat` takes them: any bytes, with a NUL at the end. */
export function directoryNames(path: string): Uint8Array[] {
  return entries(path)
    .filter(({ type }) => type === DT_DIR)
    .map(({ name }) => name);
}

/** The status of what is at a path; undefined if nothing is. */
export function statusAt(path: string, follow = true): FileStatus | undefined {
  const status = tryStatus(path, follow);
  if (typeof status !== "number") return status;
  if (["ENOENT", "ENOTDIR"].includes(errnoName(-status))) return undefined;
  throw systemError("stat", -status, path);
}

/** Whether an open file is still the one at a path: it may have been removed, and another made there. A link is not followed. */
export function isStillAt(path: string, file: Fd): boolean {
  return statusAt(path, false)?.inode === fileStatusOf(file).inode;
}

/** Whether something is at a path that this process can get at; an error if the kernel can't say. */
export function exists(path: string): boolean {
  return mayExist(path) === true;
}

/**
 * Whether something is at a path, where a link isn't followed the link itself; undefined where this process may not look. Behind links that lead to each
 * other nothing is.
 */
export function mayExist(path: string, follow = true): boolean | undefined {
  const flags = follow ? 0 : AT.SYMLINK_NOFOLLOW;
  const result = trySyscall("faccessat2", AT.FDCWD, path, 0, flags);
  if (result >= 0) return true;
  const name = errnoName(-result);
  if (name === "EACCES") return undefined;
  if (name === "ENOENT" || name === "ENOTDIR" || name === "ELOOP") return false;
  throw systemError("faccessat2", -result, path);
}

/** What is found out about a path; undefined where this process may not look, or where links or its length lead nowhere. */
export function unlessDenied<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (hasErrno(error, "EACCES", "ELOOP", "ENAMETOOLONG")) return undefined;
    throw error;
  }
}

/** Throws unless this thread's user, by its effective ids, may do what `mode` (`ACCESS`) says (faccessat2(2)). */
export function checkAccess(path: string, mode: number): void {
  const result = trySyscall("faccessat2", AT.FDCWD, path, mode, ACCESS.AT_EACCESS);
  if (result < 0) throw systemError("access", -result, path);
}

/** `checkAccess` as a step. */
export function accessStep(path: string, mode: number): Step {
  return { what: `access ${path}`, call: "faccessat2", args: [AT.FDCWD, path, mode, ACCESS.AT_EACCESS] };
}

/** The text of a symbolic link. */
export function linkText(path: string): string {
  const buffer = new Uint8Array(LIMIT.PATH_MAX);
  const length = syscallOn(path, "readlinkat", AT.FDCWD, path, buffer, buffer.length);
  return textOf(buffer.subarray(0, length));
}

/** The absolute path without links of what is at a path. */
export function realPath(path: string): string {
  using file = open(path, O.PATH);
  return linkText(file.path);
}

export function changeMode(path: string, mode: number): void {
  syscallOn(path, "fchmodat", AT.FDCWD, path, mode);
}

export function changeOwner(path: string, uid: number, gid: number): void {
  syscallOn(path, "fchownat", AT.FDCWD, path, uid, gid, 0);
}
