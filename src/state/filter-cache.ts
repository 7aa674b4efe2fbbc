import { type ErrnoName, errnoName } from "../base/errno";
import { HakoError } from "../base/errors";
import { prepared } from "../base/undo";
import { COMMIT, VERSION } from "../base/version";
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
import { defaultRoot } from "./user-root";

/** Set by build.ts: a hash of the compiler's source. Whoever changes that has another one in the same commit. */
declare const HAKO_FILTER_COMPILER: string | undefined;

/** A filter that programs can be started with, and what its profile was warned of. */
export interface CachedFilter {
  filter: SeccompFilter;
  warnings: readonly string[];
}

const MAGIC = "hako bpf";
/** Of a hash in hexadecimal digits. */
const HASH_LENGTH = 64;
/** MAGIC, the key, the filter's length. */
const HEADER = MAGIC.length + HASH_LENGTH + 4;
/** Files in the cache, of which the oldest go, and the most that one holds: a filter has 32 KiB at most. */
const MOST_ENTRIES = 64;
const LARGEST = 64 * 1024;
const OTHERS = 0o077;
/** Without these there is no cache, and nothing is wrong with that. */
const NO_CACHE: readonly ErrnoName[] = ["ENOENT", "EACCES", "EPERM", "EROFS", "ENOTDIR"];

/**
 * The name of what is compiled from a profile: a hash of all that decides it. undefined where hako runs from its sources, which
 * may be others each time. Nothing of it is asked of the kernel.
 */
export function filterKey(profile: Seccomp, noNewPrivileges: boolean): string | undefined {
  if (typeof HAKO_FILTER_COMPILER === "undefined") return undefined;
  return keyOf(profile, noNewPrivileges, [VERSION, COMMIT, HAKO_FILTER_COMPILER]);
}

/** `filterKey` for a given compiler. The listener's path and metadata are left out: they decide nothing of the filter. */
export function keyOf(
  { listenerPath: _, listenerMetadata: __, ...deciding }: Seccomp,
  noNewPrivileges: boolean,
  compiler: readonly string[],
): string {
  return hashOf(bytesOf(exactJson([MAGIC, NATIVE, compiler, noNewPrivileges, deciding])));
}

/** One that nobody can find two texts for: those who may choose a profile shall not choose another's filter. */
function hashOf(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

/**
 * Filters that were compiled before, by what they were compiled from. The directory is this user's alone, and is looked at each
 * time; so is an entry, of which a part may be missing after a crash. Where there is no such directory, or anything is wrong with
 * it, all goes on without it.
 */
export class FilterCache {
  readonly directory: string;

  /** Beside the directory where state is kept unless the caller says: it is of all of them. */
  constructor(directory = `${defaultRoot()}-seccomp`) {
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

  /** The directory, which must be this user's alone, as all that leads to it; undefined if there is none. */
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

  /** Whatever fails, the filter is compiled. */
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

/** What others own, or may write to, is nothing to this user. */
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

/** undefined if these are not the bytes that were written for the key, all of them. */
function decode(key: string, bytes: Uint8Array): CachedFilter | undefined {
  const end = bytes.length - HASH_LENGTH;
  if (end < HEADER) return undefined;
  const content = bytes.subarray(0, end);
  if (textOf(bytes.subarray(end)) !== hashOf(content)) return undefined;
  if (textOf(content.subarray(0, HEADER - 4)) !== MAGIC + key) return undefined;
  const program = HEADER + new DataView(bytes.buffer).getUint32(HEADER - 4, true);
  const filter = filterOfBytes(content.subarray(HEADER, program));
  if (filter === undefined) return undefined;
  // of a text whose hash was right
  return { filter, warnings: JSON.parse(textOf(content.subarray(program))) as string[] };
}

/** Whoever looks for it meanwhile finds it whole, or nothing. */
function writeEntry(directory: Fd, name: string, bytes: Uint8Array): void {
  const temporary = `${name}.${process.pid}`;
  // of a process of old that had this number
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

/** The oldest files go, and what was left of a process that was killed is one of them. Done where one is added: that is seldom. */
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

/** When a file was written, in nanoseconds; one that has gone meanwhile is the oldest. */
function ageOf(path: string): bigint {
  const [seconds, nanoseconds] = statusAt(path, false)?.modified ?? [0n, 0];
  return seconds * 1_000_000_000n + BigInt(nanoseconds);
}
