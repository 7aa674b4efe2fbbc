import { bytesOf, concatenated } from "../../linux/call/bytes";
import { O, STATX } from "../../linux/call/constants";
import { directoryEntries, hasErrno, readOrdinaryFile, statusAt } from "../../linux/file/file";
import { openAt } from "../../linux/file/path";
import { dirname, join } from "../../linux/file/path-text";
import { fileStatusOf } from "../../linux/file/stat";
import { GUARDED_ANNOTATION, UNPROTECTED_ANNOTATION } from "../../oci/annotations";
import { gitLinks } from "../../policy/git-links";
import type { ContainerRecord } from "../../state/record";

/** A file of the host's, by which it is known again: an inode's number is given again, with another time. */
export interface GuardedFile {
  path: string;
  /** "0" where there is none; some file systems have numbers above 2^53. */
  inode: string;
  /** Which of its times: when it was made, or when it was changed last. */
  since: keyof typeof TIMES;
  /** The nanoseconds of that; 0 where the file system doesn't know. */
  nanoseconds: number;
}

/** Offsets of tv_nsec in struct statx (statx(2)), beside which nothing is in a word. */
const TIMES = { born: 88, changed: 104 } as const;

/** An index of so many bytes has more than a million files. */
const LARGEST_INDEX = 1 << 28;

/** What the policy of a container protects, and was not there when its command began: that can't be held where what it is in is written. */
export function unprotectedOf({ annotations }: Pick<ContainerRecord, "annotations">): string[] {
  try {
    const list: unknown = JSON.parse(annotations[UNPROTECTED_ANNOTATION] ?? "[]");
    return Array.isArray(list) ? list.filter((each) => typeof each === "string") : [];
  } catch {
    // a bundle's, which may have any annotation
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
export function guardedFilesOf(record: Pick<ContainerRecord, "annotations">): GuardedFile[] {
  const missing = { inode: "0", since: "born", nanoseconds: 0 } as const;
  return [...keptFiles(record), ...unprotectedOf(record).map((path) => ({ path, ...missing }))];
}

/** Of files that were there those in whose place is something else, or nothing. */
export function replacedFiles(record: Pick<ContainerRecord, "annotations">): string[] {
  return changed(record, "born");
}

/**
 * Where git finds repositories in a project whose index was changed, which nothing has protected: what links of the index lead to. undefined where the
 * index can't be read.
 */
export function unprotectedRepositories(record: Pick<ContainerRecord, "annotations">): string[] | undefined {
  const [index] = changed(record, "changed");
  if (index === undefined) return [];
  const known = new Set(guardedFilesOf(record).map(({ path }) => path));
  const directory = dirname(index);
  const files = directoryEntries(directory).filter(({ name }) => /^(index$|sharedindex\.)/.test(name));
  const links = files.map(({ name }) => {
    const bytes = readOrdinaryFile(join(directory, name), LARGEST_INDEX);
    return bytes && gitLinks(bytes);
  });
  if (links.includes(undefined)) return undefined;
  const repositories = links.flatMap((each = []) =>
    each.map((link) => join(dirname(directory), link, ".git")),
  );
  return [...new Set(repositories)].filter((path) => !known.has(path) && statusAt(path, false) !== undefined);
}

/** All that was not held to the end: what was made, replaced, and made known to git. */
export function unheldFiles(record: Pick<ContainerRecord, "annotations">): string[] {
  const repositories = unprotectedRepositories(record) ?? changed(record, "changed");
  return [...replacedFiles(record), ...madeFiles(record), ...repositories];
}

/** Of what was not there that which is there now. */
export function madeFiles(record: Pick<ContainerRecord, "annotations">): string[] {
  return unprotectedOf(record).filter((path) => guardedFile(path, "born").inode !== "0");
}

function changed(record: Pick<ContainerRecord, "annotations">, since: GuardedFile["since"]): string[] {
  const files = keptFiles(record).filter((file) => file.since === since);
  const isOther = (file: GuardedFile) => {
    const { inode, nanoseconds } = guardedFile(file.path, since);
    return inode !== file.inode || nanoseconds !== file.nanoseconds;
  };
  return files.filter(isOther).map(({ path }) => path);
}

function keptFiles({ annotations }: Pick<ContainerRecord, "annotations">): GuardedFile[] {
  try {
    const list: unknown = JSON.parse(annotations[GUARDED_ANNOTATION] ?? "[]");
    return Array.isArray(list) ? list.filter(isGuardedFile) : [];
  } catch {
    // a bundle's, which may have any annotation
    return [];
  }
}

function isGuardedFile(value: unknown): value is GuardedFile {
  if (typeof value !== "object" || value === null) return false;
  const { path, inode, since, nanoseconds } = value as Partial<Record<keyof GuardedFile, unknown>>;
  const isInode = typeof inode === "string" && /^\d{1,20}$/.test(inode);
  return (
    typeof path === "string" &&
    isInode &&
    Object.hasOwn(TIMES, `${since}`) &&
    Number.isSafeInteger(nanoseconds)
  );
}

function guardedFile(path: string, since: GuardedFile["since"]): GuardedFile {
  try {
    using file = openAt(undefined, path, O.PATH | O.NOFOLLOW);
    const status = fileStatusOf(file, STATX.BASIC_STATS | STATX.BTIME);
    return { path, inode: `${status.inode}`, since, nanoseconds: status[since]?.[1] ?? 0 };
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR", "EACCES", "ELOOP"))
      return { path, inode: "0", since, nanoseconds: 0 };
    throw error;
  }
}

/** A file as an attendant's rows take it: three words, and the path. */
export function asWords({ path, inode, since, nanoseconds }: GuardedFile): Uint8Array {
  const words = new BigUint64Array([BigInt(inode), BigInt(TIMES[since]), BigInt(nanoseconds)]);
  return concatenated([new Uint8Array(words.buffer), bytesOf(`${path}\0`)]);
}
