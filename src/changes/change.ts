import type { Fd } from "../linux/call/fd";
import { readLink } from "../linux/file/path";
import type { FileStatus, FileType } from "../linux/file/stat";
import type { FileTime } from "./record";

/** One file or directory that is not as it is on the host. */
export interface Change {
  /** As the program sees it: below its root directory. */
  path: string;
  /** The place whose layer it is in, and its path below that. */
  layer: number;
  relative: string;
  kind: "added" | "changed" | "removed";
  /** What it is now; of what is removed, what it was. */
  type: FileType;
  /** What is different. */
  what: readonly Difference[];
  /** Of what was changed: what the host has there. */
  from: Shown | undefined;
  /** undefined of what is removed. */
  to: Shown | undefined;
  /** When the host's file was changed last, and which one it is; undefined where the host has none. */
  host: HostFile | undefined;
  /** What reads or executes such a file without being asked to, or what rights it has. */
  noteworthy: string | undefined;
  /** Why it is not applied unless it is forced: the host's file is another one than the program had. */
  conflict: string | undefined;
  /** Why nothing is applied at all as long as this is so. */
  obstacle: string | undefined;
  /** Why it is not applied. */
  leftOut: string | undefined;
  /** Rights that a file gets only if that is forced. */
  rights: string | undefined;
  /** In the layer, of a file that has other names there. */
  inode: bigint | undefined;
}

export type Difference = "type" | "content" | "target" | "mode" | "owner" | "attributes";

/** What people are shown of a file. */
export interface Shown {
  type: FileType;
  mode: number;
  owner: string;
  /** Where a symbolic link leads. */
  target: string | undefined;
}

export interface HostFile {
  inode: bigint;
  changed: FileTime;
}

export function shownOf(node: Fd, { type, mode, uid, gid }: FileStatus): Shown {
  return { type, mode, owner: `${uid}:${gid}`, target: type === "symlink" ? readLink(node) : undefined };
}

export function hostFileOf({ inode, changed }: FileStatus): HostFile {
  return { inode, changed: [Number(changed[0]), changed[1]] };
}

export function isBefore(one: FileTime, other: FileTime): boolean {
  return one[0] === other[0] ? one[1] < other[1] : one[0] < other[0];
}
