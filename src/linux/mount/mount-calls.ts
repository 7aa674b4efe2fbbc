import { HakoError } from "../../base/errors";
import { AT, MNT, MS, O, OPEN_TREE } from "../call/constants";
import { Fd } from "../call/fd";
import { syscallOn } from "../call/syscall";
import { hasErrno } from "../file/file";

/** The mount calls of Linux 5.12: trees are cloned, made as they shall be while nobody sees them, and then attached. */

export const MOVE_MOUNT_F_EMPTY_PATH = 0x04;
export const MOVE_MOUNT_T_EMPTY_PATH = 0x40;
const MOUNT_ATTR_IDMAP = 0x100000;
const UMOUNT_NOFOLLOW = 8;

/** MOUNT_ATTR_* of linux/mount.h. */
export const ATTR = {
  RDONLY: 0x1,
  NOSUID: 0x2,
  NODEV: 0x4,
  NOEXEC: 0x8,
  /** The three exclusive values of access times: RELATIME is 0. */
  ATIME: 0x70,
  NOATIME: 0x10,
  STRICTATIME: 0x20,
  NODIRATIME: 0x80,
  NOSYMFOLLOW: 0x200000,
} as const;

/** MS_* of linux/mount.h that say how mounts propagate; also what mount_setattr takes. */
export const PROPAGATION = {
  unbindable: 1 << 17,
  private: MS.PRIVATE,
  slave: MS.SLAVE,
  shared: 1 << 20,
} as const;

export type Propagation = keyof typeof PROPAGATION;

export interface MountAttributes {
  set?: number | undefined;
  clear?: number | undefined;
  propagation?: Propagation | undefined;
  recursive?: boolean | undefined;
}

/** A mount by the descriptor of its root, or by its path. */
type Place = Fd | string;

function at(place: Place): [number, string] {
  return typeof place === "string" ? [AT.FDCWD, place] : [place.number, ""];
}

function nameOf(place: Place): string | undefined {
  return typeof place === "string" ? place : place.name;
}

/** A detached copy of the mount at a place (and of all below it); nobody else sees it. A link is followed if told. */
export function cloneTree(source: Place, recursive: boolean, follow = true): Fd {
  const [dir, path] = at(source);
  const how = (recursive ? AT.RECURSIVE : 0) | (follow ? 0 : AT.SYMLINK_NOFOLLOW);
  const flags = OPEN_TREE.CLONE | O.CLOEXEC | how;
  const empty = path === "" ? AT.EMPTY_PATH : 0;
  return new Fd(syscallOn(nameOf(source), "open_tree", dir, path, flags | empty), nameOf(source));
}

/** Changes a mount; `place` must be the root of one. Does nothing when there is nothing to change. */
export function setMountAttributes(place: Place, attributes: MountAttributes): void {
  const { set = 0, clear = 0, propagation, recursive = false } = attributes;
  if (set === 0 && clear === 0 && propagation === undefined) return;
  const [dir, path] = at(place);
  const flags = (path === "" ? AT.EMPTY_PATH : 0) | (recursive ? AT.RECURSIVE : 0);
  const spread = propagation === undefined ? 0 : PROPAGATION[propagation];
  // The kernel wants the whole group of access time bits cleared before one of them is set.
  const cleared = (set & ATTR.ATIME) === 0 ? clear : clear | ATTR.ATIME;
  const attr = new BigUint64Array([BigInt(set), BigInt(cleared), BigInt(spread), 0n]);
  syscallOn(nameOf(place), "mount_setattr", dir, path, flags, attr, attr.byteLength);
}

/**
 * Attributes that can be cleared, in turn. The kernel locks all but the last of them where a mount came from the mount namespace
 * of a more privileged user namespace (fs/namespace.c, lock_mnt_tree): nobody in the less privileged one can clear them.
 */
const CLEARABLE: readonly number[] = [
  ATTR.RDONLY,
  ATTR.NOSUID,
  ATTR.NODEV,
  ATTR.NOEXEC,
  ATTR.ATIME,
  ATTR.NODIRATIME,
  ATTR.NOSYMFOLLOW,
];

/**
 * As `setMountAttributes` for one mount, but attributes that the kernel has locked stay: clients write "rw" or "exec" by
 * themselves, and mean that nothing is to be added. An attribute that is to be set is set, or the call fails; an attribute that
 * can be cleared is cleared.
 */
export function setUnlockedAttributes(place: Place, { set = 0, clear = 0 }: MountAttributes): void {
  try {
    setMountAttributes(place, { set, clear });
  } catch (error) {
    if (!(error instanceof HakoError) || error.errno !== "EPERM" || clear === 0) throw error;
    setMountAttributes(place, { set });
    // the access time that is set replaces the one that was there
    const cleared = (set & ATTR.ATIME) === 0 ? clear : clear & ~ATTR.ATIME;
    clearUnlocked(place, cleared);
  }
}

/** Takes attributes from a mount one by one; returns those that are locked, and stay. */
export function clearUnlocked(place: Place, attributes: number): number {
  let locked = 0;
  for (const bits of CLEARABLE) {
    if ((attributes & bits) === 0) continue;
    try {
      setMountAttributes(place, { clear: bits });
    } catch (error) {
      if (!(error instanceof HakoError) || error.errno !== "EPERM") throw error;
      locked |= bits;
    }
  }
  return locked;
}

/** Maps the owners of a detached mount, and of all below it if `recursive`, by the maps of a user namespace. */
export function mapOwners(tree: Fd, userNamespace: Fd, recursive: boolean): void {
  const flags = AT.EMPTY_PATH | (recursive ? AT.RECURSIVE : 0);
  const attr = new BigUint64Array([BigInt(MOUNT_ATTR_IDMAP), 0n, 0n, BigInt(userNamespace.number)]);
  syscallOn("id mapping", "mount_setattr", tree.number, "", flags, attr, attr.byteLength);
}

/**
 * Attaches a detached tree, or moves an attached one, to a target; the tree's descriptor is then the root of the mount. With
 * `name` the target is what has this name in the directory `target`, and a link is not followed.
 */
export function attachTree(tree: Fd, target: Place, name = ""): void {
  const [dir, own] = at(target);
  const path = name === "" ? own : name;
  const flags = MOVE_MOUNT_F_EMPTY_PATH | (path === "" ? MOVE_MOUNT_T_EMPTY_PATH : 0);
  syscallOn(name === "" ? nameOf(target) : name, "move_mount", tree.number, "", dir, path, flags);
}

/** Unmounts what is at a path, at once for lookups and in the end for its users. */
export function detach(path: string): void {
  syscallOn(path, "umount2", path, MNT.DETACH | UMOUNT_NOFOLLOW);
}

/** The same, of a file that may not be a mount point, or that this user could not have mounted anything on. */
export function detachIfMounted(path: string): void {
  try {
    detach(path);
  } catch (error) {
    if (!hasErrno(error, "EINVAL", "EPERM", "ENOENT")) throw error;
  }
}
