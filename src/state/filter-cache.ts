import { type ErrnoName, errnoName } from "../base/errno";
import { HakoError } from "../base/errors";
import { COMMIT, VERSION } from "../base/hako-version";
import { prepared } from "../base/undo";
import { bytesOf, concatenated, textOf } from "../linux/call/bytes";
import { AT, O } from "../linux/call/constants";
import { Fd } from "../linux/call/fd";
import { syscallOn, systemError, trySyscall } from "../linux/call/syscall";
import { listNames, readAtMost, statusAt, writeAllTo } from "../linux/file/file";
import { openAt } from "../linux/file/path";
import { join } from "../linux/file/path-text";
import { type FileStatus, fileStatusOf } from "../linux/file/stat";
import type { SeccompFilter } from "../linux/process/filter-steps";
import { effectiveUser } from "../linux/process/rootless";
import type { Seccomp } from "../oci/config";
import { exactJson } from "../oci/json";
import { NATIVE } from "../oci/seccomp-words";
import { logDebug } from "../output/log";
import { bytesOfFilter, filterOfBytes } from "../seccomp/filter-bytes";
import { checkWay } from "./trusted-path";
import { filterCacheDirectory } from "./user-root";

/** Set by build.ts: a hash of the compiler's sources, so that another compiler finds no filter of this one. */
declare const HAKO_FILTER_COMPILER: string | undefined;

/** A filter that programs can be started with, and the warnings about its profile. */
export interface CachedFilter {
  filter: SeccompFilter;
  warnings: readonly string[];
}

const MAGIC = "hako bpf";
/** The length of a hash in hexadecimal digits. */
const HASH_LENGTH = 64;
/** MAGIC, the key, the filter's length. */
const HEADER = MAGIC.length + HASH_LENGTH + 4;
/** How many files the cache keeps, and how long one may be: a filter has 32 KiB at most. */
const MOST_ENTRIES = 64;
const LARGEST = 64 * 1024;
const OTHERS = 0o077;
/** Errnos that mean that there is no cache, which is no error. */
const NO_CACHE: readonly ErrnoName[] = ["ENOENT", "EACCES", "EPERM", "EROFS", "ENOTDIR"];

/**
 * The name of a compiled filter: a hash of all that decides what the compiler makes of a profile. undefined where hako runs from its
 * sources, which may have changed since the last run.
 */
export function filterKey(profile: Seccomp, noNewPrivileges: boolean): string | undefined {
  if (typeof HAKO_FILTER_COMPILER === "undefined") return undefined;
  return keyOf(profile, noNewPrivileges, [VERSION, COMMIT, HAKO_FILTER_COMPILER]);
}

/** `filterKey` for a given compiler. The listener's path and metadata are left out: the filter does not depend on them. */
export function keyOf(
  { listenerPath: _, listenerMetadata: __, ...deciding }: Seccomp,
  noNewPrivileges: boolean,
  compiler: readonly string[],
): string {
  return hashOf(bytesOf(exactJson([MAGIC, NATIVE, compiler, noNewPrivileges, deciding])));
}

/** A hash without known collisions: who may choose a profile must not be able to choose the filter of another one. */
function hashOf(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

/**
 * Filters that were compiled before, by a hash of what they were compiled from. Directory and entry are checked at each use: both must be this
 * user's alone, and an entry must be whole, which it may not be after a crash. Without a good directory or entry the filter is compiled.
 */
export class FilterCache {
  readonly directory: string;

  /** Beside the default state directory: all state directories of a user share one cache. */
  constructor(directory = filterCacheDirectory()) {
    this.directory = directory;
  }

  find(key: string): CachedFilter | undefined {
    return this.#tolerant("find a filter", () => {
      using directory = this.#open();
      if (directory === undefined) return undefined;
      const opened = tryOpen(directory, key, O.RDONLY | O.NOFOLLOW | O.NONBLOCK);
      if (typeof opened === "number") return this.#missing(opened);
      using file = opened;
      const status = fileStatusOf(file);
      checkOwner(join(this.directory, key), status, "file");
      if (status.size > LARGEST) return undefined;
      const found = decode(key, readAtMost(file, status.size));
      logDebug(`seccomp filter ${found === undefined ? "broken" : "found"} in ${this.directory}: ${key}`);
      return found;
    });
  }

  keep(key: string, made: CachedFilter): void {
    const bytes = encode(key, made);
    if (bytes.length > LARGEST) return;
    this.#tolerant("keep a filter", () => {
      using directory = this.#open() ?? this.#make();
      if (directory === undefined) return;
      makeRoom(directory);
      writeEntry(directory, key, bytes);
      logDebug(`seccomp filter kept in ${this.directory}: ${key}`);
    });
  }

  /** Opens the directory; undefined if there is none, or if it or a directory above it is not this user's alone. */
  #open(): Fd | undefined {
    checkWay("seccomp filters", this.directory);
    const flags = O.RDONLY | O.DIRECTORY | O.NOFOLLOW;
    const opened = tryOpen(undefined, this.directory, flags);
    if (typeof opened === "number") return this.#missing(opened);
    return prepared(opened, () => checkOwner(this.directory, fileStatusOf(opened), "directory"));
  }

  #make(): Fd | undefined {
    const made = trySyscall("mkdirat", AT.FDCWD, this.directory, 0o700);
    if (made < 0 && errnoName(-made) !== "EEXIST") return this.#missing(made);
    return this.#open();
  }

  #missing(result: number): undefined {
    const errno = errnoName(-result);
    if (!NO_CACHE.includes(errno)) throw systemError("open", -result, this.directory);
    return undefined;
  }

  /** A failure means that the filter is compiled. */
  #tolerant<T>(what: string, action: () => T): T | undefined {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof HakoError)) throw error;
      logDebug(`${what} in ${this.directory}: ${error.oneLine}`);
      return undefined;
    }
  }
}

function tryOpen(directory: Fd | undefined, name: string, flags: number): Fd | number {
  const at = directory?.number ?? AT.FDCWD;
  const opened = trySyscall("openat", at, name, flags | O.CLOEXEC, 0);
  return opened < 0 ? opened : new Fd(opened, name);
}

/** Refuses a file that another user owns, or may read or write. */
function checkOwner(path: string, { type, uid, mode }: FileStatus, wanted: FileStatus["type"]): void {
  const refuse = (why: string) => new HakoError({ code: "state", message: `${path} ${why}`, path });
  if (type !== wanted) throw refuse(`is a ${type}`);
  if (uid !== effectiveUser()) throw refuse(`belongs to user ${uid}`);
  if ((mode & OTHERS) !== 0) throw refuse("is open to others");
}

function encode(key: string, { filter, warnings }: CachedFilter): Uint8Array {
  const program = bytesOfFilter(filter);
  const length = new Uint8Array(new Uint32Array([program.length]).buffer);
  const content = concatenated([bytesOf(MAGIC + key), length, program, bytesOf(JSON.stringify(warnings))]);
  return concatenated([content, bytesOf(hashOf(content))]);
}

/** The filter in an entry; undefined if the bytes are not all that was written for the key. */
function decode(key: string, bytes: Uint8Array): CachedFilter | undefined {
  const end = bytes.length - HASH_LENGTH;
  if (end < HEADER) return undefined;
  const content = bytes.subarray(0, end);
  if (textOf(bytes.subarray(end)) !== hashOf(content)) return undefined;
  if (textOf(content.subarray(0, HEADER - 4)) !== MAGIC + key) return undefined;
  const program = HEADER + new DataView(bytes.buffer).getUint32(HEADER - 4, true);
  const filter = filterOfBytes(content.subarray(HEADER, program));
  if (filter === undefined) return undefined;
  // the hash was right, so the text is what hako wrote
  return { filter, warnings: JSON.parse(textOf(content.subarray(program))) as string[] };
}

/** Writes an entry so that a reader finds it whole, or not at all. */
function writeEntry(directory: Fd, name: string, bytes: Uint8Array): void {
  const temporary = `${name}.${process.pid}`;
  // left by an earlier process with this pid
  trySyscall("unlinkat", directory.number, temporary, 0);
  try {
    using file = openAt(directory, temporary, O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW, 0o600);
    writeAllTo(file.number, bytes, temporary);
    syscallOn(name, "renameat2", directory.number, temporary, directory.number, name, 0);
  } catch (error) {
    trySyscall("unlinkat", directory.number, temporary, 0);
    throw error;
  }
}

/** Removes the oldest files, those that killed processes left among them. Called when an entry is added, which is seldom. */
function makeRoom(directory: Fd): void {
  const names = listNames(directory.path);
  if (names.length < MOST_ENTRIES) return;
  const entries = names.map((name) => ({ name, age: ageOf(join(directory.path, name)) }));
  entries.sort((a, b) => (a.age < b.age ? -1 : a.age > b.age ? 1 : 0));
  for (const { name } of entries.slice(0, names.length - MOST_ENTRIES + 1)) {
    const result = trySyscall("unlinkat", directory.number, name, 0);
    if (result < 0 && errnoName(-result) !== "ENOENT") throw systemError("unlink", -result, name);
  }
}

/** When a file was written, in nanoseconds; 0 for a file that has gone meanwhile. */
function ageOf(path: string): bigint {
  const [seconds, nanoseconds] = statusAt(path, false)?.modified ?? [0n, 0];
  return seconds * 1_000_000_000n + BigInt(nanoseconds);
}
