import { HakoError } from "../../base/errors";
import { MNT, MS, O } from "../call/constants";
import type { Fd } from "../call/fd";
import { syscallOn } from "../call/syscall";
import { mkdirAt, openAt } from "../file/path";
import { type Filesystem, newFilesystem } from "./filesystem";
import { ATTR, attachTree, clearUnlocked, cloneTree, type MountAttributes } from "./mount-calls";

/** mount(2), for what the mount calls of today don't take: options that are too long for them, and remounts. */

/** The options of every superblock, as flags of mount(2). */
const MS_OF_OPTION: Readonly<Record<string, number>> = {
  ro: 1,
  sync: 16,
  mand: 64,
  dirsync: 128,
  lazytime: 1 << 25,
  iversion: 1 << 23,
  silent: 1 << 15,
};
const NO_MS = new Set(["rw", "async", "nomand", "nolazytime"]);

/** Options as mount(2) takes them: flags, and what only the file system understands. */
function forMount(options: readonly string[]): { flags: number; data: string } {
  const own = options.filter((option) => MS_OF_OPTION[option] === undefined && !NO_MS.has(option));
  const flags = options.reduce((sum, option) => sum | (MS_OF_OPTION[option] ?? 0), 0);
  return { flags, data: own.join(",") };
}

/** mount(2) onto an open target, for options that are longer than fsconfig takes. */
export function mountOnto(target: Fd, filesystem: Omit<Filesystem, "attributes">): void {
  const { type, source = type, options = [] } = filesystem;
  const { flags, data } = forMount(options);
  syscallOn(type, "mount", source, target.path, type, flags, data);
}

/**
 * As `newFilesystem`, for an overlay with a lowerdir that is too long for fsconfig, or a flag that fsconfig does not know.
 * mount(2) needs a mount point: for a moment a tmpfs of hako's own lies on `place`, a directory of this mount namespace, and the
 * mount is made in it. In a directory that others may change, hako could not be sure to find its mount again.
 */
export function mountCovered(filesystem: Omit<Filesystem, "attributes">, place: Fd): Fd {
  using cover = newFilesystem({ type: "tmpfs", source: "tmpfs" });
  using inside = mkdirAt(cover, "mount", 0o700);
  attachTree(cover, place);
  try {
    mountOnto(inside, filesystem);
    using mounted = openAt(cover, "mount", O.PATH | O.DIRECTORY | O.NOFOLLOW);
    return cloneTree(mounted, false);
  } finally {
    syscallOn(cover.name, "umount2", cover.path, MNT.DETACH);
  }
}

/** Attributes of a mount, as flags of mount(2). */
const MS_OF_ATTRIBUTE: readonly (readonly [attribute: number, flag: number])[] = [
  [ATTR.RDONLY, 1],
  [ATTR.NOSUID, 2],
  [ATTR.NODEV, 4],
  [ATTR.NOEXEC, 8],
  [ATTR.NOSYMFOLLOW, 256],
  [ATTR.NOATIME, 1024],
  [ATTR.NODIRATIME, 2048],
  [ATTR.STRICTATIME, 1 << 24],
];

export interface Remount {
  attributes: MountAttributes;
  /** Of the file system: its own, and those of every superblock. */
  options: readonly string[];
  /** The mount alone, not its file system. */
  mountOnly: boolean;
}

/** Attributes of a mount that mount(2) turns off when it is not told of them; access times it leaves as they are. */
const UNSAID = ATTR.RDONLY | ATTR.NOSUID | ATTR.NODEV | ATTR.NOEXEC;

/**
 * Sets the attributes of the mount whose root `target` is, and the options of its file system. What `remount` does not say is
 * off (mount(2), "MS_REMOUNT"), except what the kernel has locked.
 */
export function remountAt(target: Fd, remount: Remount): void {
  const { set = 0 } = remount.attributes;
  try {
    mountAgain(target, remount, set);
  } catch (error) {
    if (!remount.mountOnly || !(error instanceof HakoError) || error.errno !== "EPERM") throw error;
    const locked = clearUnlocked(target, UNSAID & ~set);
    if (locked === 0) throw error;
    mountAgain(target, remount, set | locked);
  }
}

function mountAgain(
  target: Fd,
  { attributes: { clear = 0 }, options, mountOnly }: Remount,
  set: number,
): void {
  const { flags: ofSuperblock, data } = forMount(options);
  let flags = MS.REMOUNT | (mountOnly ? MS.BIND : 0) | ofSuperblock;
  for (const [attribute, flag] of MS_OF_ATTRIBUTE) if ((set & attribute) !== 0) flags |= flag;
  if ((set & ATTR.ATIME) === 0 && (clear & ATTR.ATIME) !== 0) flags |= MS.RELATIME;
  syscallOn(target.name, "mount", "none", target.path, null, flags, mountOnly ? null : data);
}
