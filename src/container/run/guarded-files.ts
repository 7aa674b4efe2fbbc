import { asHakoError } from "../../base/errors";
import { bytesOf, concatenated, textOf } from "../../linux/call/bytes";
import { O, STATX } from "../../linux/call/constants";
import { directoryEntries, hasErrno, mayExist, readOrdinaryFile, statusAt } from "../../linux/file/file";
import { openAt } from "../../linux/file/path";
import { dirname, join } from "../../linux/file/path-text";
import { fileStatusOf } from "../../linux/file/stat";
import { GUARDED_ANNOTATION, UNPROTECTED_ANNOTATION } from "../../oci/annotations";
import { logDebug } from "../../output/log";
import { gitLinks, objectSize } from "../../policy/git-links";
import type { ContainerRecord } from "../../state/record";

type Annotated = Pick<ContainerRecord, "annotations">;

/** A file of the host's, by which it is known again: an inode's number is given again, with another time. */
export interface GuardedFile {
  path: string;
  /** "0" where there is none; some file systems have numbers above 2^53. */
  inode: string;
  /** Which of its times: when it was made, or when it was changed last. */
  since: keyof typeof TIMES;
  /** That time, seconds and nanoseconds since 1970; zeros where the file system doesn't know. */
  time: readonly [seconds: number, nanoseconds: number];
}

/** Offsets of tv_sec in struct statx (statx(2)); tv_nsec is in the next word, and nothing beside it. */
const TIMES = { born: 80, changed: 96 } as const;

/** Of what is not there. */
const NO_FILE = { inode: "0", time: [0, 0] } as const;

/** An index of so many bytes, with what it shares, has more than half a million files. */
const LARGEST_INDEX = 1 << 27;
/** How many files an index may be in: git removes those that it shared long ago. */
const MOST_INDEXES = 100;
const LARGEST_CONFIG = 1 << 20;

/** What the policy of a container protects, and was not there when its command began: that can't be held where what it is in is written. */
export function unprotectedOf(record: Annotated): string[] {
  return listIn(record, UNPROTECTED_ANNOTATION, (each) => typeof each === "string");
}

/** A list that hako has noted in a container's record. A bundle may have anything there: of that what is none is left out. */
function listIn<T>({ annotations }: Annotated, name: string, isOne: (value: unknown) => value is T): T[] {
  try {
    const list: unknown = JSON.parse(annotations[name] ?? "[]");
    return Array.isArray(list) ? list.filter(isOne) : [];
  } catch {
    return [];
  }
}

/** What a container's record has of files that it hides or protects, as they are now, and of an index of git's, which the program may change. */
export function guardedAnnotation(
  paths: readonly string[],
  gitIndex: string | undefined,
): Record<string, string> {
  const files = paths.map((path) => guardedFile(path, "born"));
  const changing = gitIndex === undefined ? [] : [guardedFile(gitIndex, "changed")];
  return { [GUARDED_ANNOTATION]: JSON.stringify([...files, ...changing]) };
}

/** The files of which the end of a container tells if they are others by then; those that were not there are among them. */
export function guardedFilesOf(record: Annotated): GuardedFile[] {
  const missing = unprotectedOf(record).map((path): GuardedFile => ({ path, since: "born", ...NO_FILE }));
  return [...keptFiles(record), ...missing];
}

/** Of files that were there those in whose place is something else, or nothing. */
export function replacedFiles(record: Annotated): string[] {
  return changed(record, "born");
}

/**
 * Where git finds repositories in a project whose index was changed, which nothing has protected: what links of the index lead to. undefined where the
 * index can't be read: the program may have made anything of it.
 */
export function unprotectedRepositories(record: Annotated): string[] | undefined {
  const [index] = changed(record, "changed");
  if (index === undefined) return [];
  const directory = dirname(index);
  try {
    // one that was removed is among what was replaced
    if (statusAt(directory, false)?.type !== "directory") return [];
    const known = new Set(guardedFilesOf(record).map(({ path }) => path));
    const links = linksOfIndex(directory);
    const repositories = links?.map((link) => join(dirname(directory), link, ".git"));
    return repositories?.filter((path) => !known.has(path) && mayBeThere(path));
  } catch (error) {
    logDebug(asHakoError(error).oneLine);
    return undefined;
  }
}

/** What links in a repository's index lead to, in those that it shares too. */
function linksOfIndex(directory: string): string[] | undefined {
  const files = directoryEntries(directory).filter(({ name }) => /^(index$|sharedindex\.)/.test(name));
  const config = readOrdinaryFile(join(directory, "config"), LARGEST_CONFIG);
  if (config === undefined || files.length > MOST_INDEXES) return undefined;
  const size = objectSize(textOf(config));
  const found = new Set<string>();
  let left = LARGEST_INDEX;
  for (const { name } of files) {
    const bytes = readOrdinaryFile(join(directory, name), left);
    const links = bytes && gitLinks(bytes, size);
    if (links === undefined) return undefined;
    left -= bytes?.length ?? 0;
    for (const link of links) found.add(link);
  }
  return [...found];
}

/** What may not be looked at may be there; git finds nothing at a path that is too long, or leads round. */
function mayBeThere(path: string): boolean {
  try {
    return mayExist(path, false) !== false;
  } catch (error) {
    if (hasErrno(error, "ENAMETOOLONG", "ELOOP")) return false;
    throw error;
  }
}

/** All that was not held to the end: what was made, replaced, and made known to git. */
export function unheldFiles(record: Annotated): string[] {
  const repositories = unprotectedRepositories(record) ?? changed(record, "changed");
  return [...replacedFiles(record), ...madeFiles(record), ...repositories];
}

/** Of what was not there that which is there now. */
export function madeFiles(record: Annotated): string[] {
  return unprotectedOf(record).filter((path) => guardedFile(path, "born").inode !== "0");
}

function changed(record: Annotated, since: GuardedFile["since"]): string[] {
  const files = keptFiles(record).filter((file) => file.since === since);
  const isOther = ({ path, inode, time: [seconds, nanoseconds] }: GuardedFile) => {
    const now = guardedFile(path, since);
    return now.inode !== inode || now.time[0] !== seconds || now.time[1] !== nanoseconds;
  };
  return files.filter(isOther).map(({ path }) => path);
}

function keptFiles(record: Annotated): GuardedFile[] {
  return listIn(record, GUARDED_ANNOTATION, isGuardedFile);
}

function isGuardedFile(value: unknown): value is GuardedFile {
  if (typeof value !== "object" || value === null) return false;
  const { path, inode, since, time } = value as Partial<Record<keyof GuardedFile, unknown>>;
  const isInode = typeof inode === "string" && /^\d{1,20}$/.test(inode);
  return (
    typeof path === "string" &&
    isInode &&
    Object.hasOwn(TIMES, `${since}`) &&
    Array.isArray(time) &&
    time.length === 2 &&
    time.every(Number.isSafeInteger)
  );
}

function guardedFile(path: string, since: GuardedFile["since"]): GuardedFile {
  try {
    using file = openAt(undefined, path, O.PATH | O.NOFOLLOW);
    const status = fileStatusOf(file, STATX.BASIC_STATS | STATX.BTIME);
    const [seconds = 0n, nanoseconds = 0] = status[since] ?? [];
    return { path, inode: `${status.inode}`, since, time: [Number(seconds), nanoseconds] };
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR", "EACCES", "ELOOP")) return { path, since, ...NO_FILE };
    throw error;
  }
}

/** A file as an attendant's rows take it: four words, and the path. */
export function asWords({ path, inode, since, time }: GuardedFile): Uint8Array {
  const words = new BigUint64Array([inode, TIMES[since], ...time].map(BigInt));
  return concatenated([new Uint8Array(words.buffer), bytesOf(`${path}\0`)]);
}
