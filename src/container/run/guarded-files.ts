import { bytesOf, concatenated } from "../../linux/call/bytes";
import { O, STATX } from "../../linux/call/constants";
import { hasErrno } from "../../linux/file/file";
import { openAt } from "../../linux/file/path";
import { fileStatusOf } from "../../linux/file/stat";
import { GUARDED_ANNOTATION, UNPROTECTED_ANNOTATION } from "../../oci/annotations";
import type { ContainerRecord } from "../../state/record";

/** A file of the host's, by which it is known again: an inode's number is given again, with another time. */
export interface GuardedFile {
  path: string;
  /** "0" where there is none; some file systems have numbers above 2^53. */
  inode: string;
  /** The nanoseconds of when it was made; 0 where the file system doesn't know. */
  born: number;
}

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

/** What a container's record has of files that it hides or protects, as they are now. */
export function guardedAnnotation(paths: readonly string[]): Record<string, string> {
  return { [GUARDED_ANNOTATION]: JSON.stringify(paths.map(guardedFile)) };
}

/** The files of which the end of a container tells if they are others by then; those that were not there are among them. */
export function guardedFilesOf(record: Pick<ContainerRecord, "annotations">): GuardedFile[] {
  return [...keptFiles(record), ...unprotectedOf(record).map((path) => ({ path, inode: "0", born: 0 }))];
}

/** Of files that were there those in whose place is something else, or nothing. */
export function replacedFiles(record: Pick<ContainerRecord, "annotations">): string[] {
  return keptFiles(record)
    .filter(({ path, inode, born }) => {
      const now = guardedFile(path);
      return now.inode !== inode || now.born !== born;
    })
    .map(({ path }) => path);
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
  const { path, inode, born } = value as Partial<Record<keyof GuardedFile, unknown>>;
  return (
    typeof path === "string" &&
    typeof inode === "string" &&
    /^\d{1,20}$/.test(inode) &&
    Number.isSafeInteger(born)
  );
}

function guardedFile(path: string): GuardedFile {
  try {
    using file = openAt(undefined, path, O.PATH | O.NOFOLLOW);
    const { inode, born } = fileStatusOf(file, STATX.BASIC_STATS | STATX.BTIME);
    return { path, inode: `${inode}`, born: born?.[1] ?? 0 };
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR", "EACCES", "ELOOP")) return { path, inode: "0", born: 0 };
    throw error;
  }
}

/** A file as an attendant's rows take it: two words, and the path. */
export function asWords({ path, inode, born }: GuardedFile): Uint8Array {
  const words = new BigUint64Array([BigInt(inode), BigInt(born)]);
  return concatenated([new Uint8Array(words.buffer), bytesOf(`${path}\0`)]);
}
