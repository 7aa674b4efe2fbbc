import { type ErrnoName, errnoNumber, errnoText } from "../../base/errno";
import { HakoError } from "../../base/errors";
import { bytesOf, textOf } from "../call/bytes";
import { Fd } from "../call/fd";
import type { Step } from "../call/step";
import { syscallOn, systemError, trySyscall } from "../call/syscall";
import { walkSteps } from "../call/walk";
import { linkText } from "../file/file";
import { AT_FDCWD, mkdirAt, O, openAt } from "../file/path";

/** The mount calls of Linux 5.12: trees are cloned, made as they shall be while nobody sees them, and then attached. */

const AT_EMPTY_PATH = 0x1000;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_RECURSIVE = 0x8000;
const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0o2000000;
const MOVE_MOUNT_F_EMPTY_PATH = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH = 0x40;
const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;
const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_SET_FD = 5;
const FSCONFIG_CMD_CREATE = 6;
const MOUNT_ATTR_IDMAP = 0x100000;
export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;
/** What fsconfig takes as a string, with its NUL (fs/fsopen.c). */
const FSCONFIG_LIMIT = 255;

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
  private: 1 << 18,
  slave: 1 << 19,
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
  return typeof place === "string" ? [AT_FDCWD, place] : [place.number, ""];
}

function nameOf(place: Place): string | undefined {
  return typeof place === "string" ? place : place.name;
}

/** A detached copy of the mount at a place (and of all below it); nobody else sees it. A link is followed if told. */
export function cloneTree(source: Place, recursive: boolean, follow = true): Fd {
  const [dir, path] = at(source);
  const how = (recursive ? AT_RECURSIVE : 0) | (follow ? 0 : AT_SYMLINK_NOFOLLOW);
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | how;
  const empty = path === "" ? AT_EMPTY_PATH : 0;
  return new Fd(syscallOn(nameOf(source), "open_tree", dir, path, flags | empty), nameOf(source));
}

/** Changes a mount; `place` must be the root of one. Does nothing when there is nothing to change. */
export function setMountAttributes(place: Place, attributes: MountAttributes): void {
  const { set = 0, clear = 0, propagation, recursive = false } = attributes;
  if (set === 0 && clear === 0 && propagation === undefined) return;
  const [dir, path] = at(place);
  const flags = (path === "" ? AT_EMPTY_PATH : 0) | (recursive ? AT_RECURSIVE : 0);
  const spread = propagation === undefined ? 0 : PROPAGATION[propagation];
  // The kernel wants the whole group of access time bits cleared before one of them is set.
  const cleared = (set & ATTR.ATIME) === 0 ? clear : clear | ATTR.ATIME;
  const attr = new BigUint64Array([BigInt(set), BigInt(cleared), BigInt(spread), 0n]);
  syscallOn(nameOf(place), "mount_setattr", dir, path, flags, attr, attr.byteLength);
}

/**
 * What can be taken from a mount, one after the other. The kernel locks all but the last of these where a mount came from the
 * mount namespace of a more privileged user namespace (fs/namespace.c, lock_mnt_tree): there nobody takes them away.
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
 * As `setMountAttributes` for one mount, but that what the kernel has locked stays: "rw" or "exec" say that nothing shall be
 * added, and clients write them by themselves. What is to be set is set, or it fails; nothing is locked that could be cleared.
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

/** Takes the attributes away that are not locked; those that are. */
function clearUnlocked(place: Place, attributes: number): number {
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
  const flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  const attr = new BigUint64Array([BigInt(MOUNT_ATTR_IDMAP), 0n, 0n, BigInt(userNamespace.number)]);
  syscallOn("id mapping", "mount_setattr", tree.number, "", flags, attr, attr.byteLength);
}

/**
 * Puts a detached tree, or an attached one that moves, onto a target; the tree's descriptor is then its root there. With `name` that is
 * what is in the target by this name, and no link is followed.
 */
export function attachTree(tree: Fd, target: Place, name = ""): void {
  const [dir, own] = at(target);
  const path = name === "" ? own : name;
  const flags = MOVE_MOUNT_F_EMPTY_PATH | (path === "" ? MOVE_MOUNT_T_EMPTY_PATH : 0);
  syscallOn(name === "" ? nameOf(target) : name, "move_mount", tree.number, "", dir, path, flags);
}

/** Unmounts what is at a path, at once for lookups and in the end for its users. */
export function detach(path: string): void {
  syscallOn(path, "umount2", path, MNT_DETACH | UMOUNT_NOFOLLOW);
}

export interface Filesystem {
  type: string;
  source?: string | undefined;
  /** Options of the file system: "size=64k", "ro", "newinstance". */
  options?: readonly string[] | undefined;
  /** ATTR bits of the mount. */
  attributes?: number | undefined;
  /** Of a procfs: the pid namespace that it shows, if not that of who makes it. */
  pidNamespace?: Fd | undefined;
  /** Where it was begun by somebody else (fsopen(2)); used up. */
  context?: Fd | undefined;
}

/** What the file system wrote about its failure: lines "e text", of which the text is kept. */
function messages(context: Fd): string[] {
  const found: string[] = [];
  const buffer = new Uint8Array(4096);
  for (let tries = 0; tries < 16; tries++) {
    const length = trySyscall("read", context.number, buffer, buffer.length);
    if (length <= 0) break;
    const text = textOf(buffer.subarray(0, length)).trim();
    if (/^[ew] /.test(text)) found.push(text.slice(2));
  }
  return found;
}

function failed(filesystem: Filesystem, context: Fd | undefined, call: string, errno: number): HakoError {
  const said = context === undefined ? [] : messages(context);
  const error = systemError(call, errno, filesystem.type);
  if (said.length === 0 && errno !== errnoNumber("ENODEV")) return error;
  const why = said.length === 0 ? "the kernel does not know this file system" : said.join(", ");
  return new HakoError({ ...error, message: `${call} ${filesystem.type}: ${errnoText(errno)}: ${why}` });
}

/**
 * Whether fsconfig takes the source and all options; those that are too long, directories with a comma in their
 * names (fs/fs_context.c, legacy_parse_param), and some flags, are only for mount(2).
 */
export function fitsFsconfig(filesystem: Filesystem): boolean {
  // mount(2) has no word for them
  if (filesystem.pidNamespace !== undefined || filesystem.context !== undefined) return true;
  if (filesystem.options?.some((option) => ONLY_MOUNT.has(option))) return false;
  const values = (filesystem.options ?? []).map((option) => option.slice(option.indexOf("=") + 1));
  if (values.some((value) => value.includes("\\,"))) return false;
  return [filesystem.source ?? "", ...values].every((value) => bytesOf(value).length <= FSCONFIG_LIMIT);
}

/** An option of procfs since Linux 6.18 (fs/proc/root.c). */
const PID_NAMESPACE = "pidns";

/** Whether a procfs that shows a pid namespace is made from outside of it by this kernel; the making may fail all the same. */
export function showsFromOutside(pidNamespace: Fd): boolean {
  const opened = trySyscall("fsopen", "proc", FSOPEN_CLOEXEC);
  if (opened < 0) return true;
  using context = new Fd(opened);
  const { number } = pidNamespace;
  const result = trySyscall("fsconfig", context.number, FSCONFIG_SET_FD, PID_NAMESPACE, null, number);
  return -result !== errnoNumber("EINVAL");
}

/** Begins a new file system of a type, for whoever makes it (`Filesystem.context`). */
export function beginFilesystem(type: string): Fd {
  return new Fd(syscallOn(type, "fsopen", type, FSOPEN_CLOEXEC), type);
}

/** Whether a descriptor is that of a file system that was begun: no file has such a name, as names of files begin with "/". */
export function isFilesystemContext(fd: Fd): boolean {
  return linkText(fd.path) === "anon_inode:[fscontext]";
}

/** The error of a file system that no module is there for. */
export function unknownFilesystem(filesystem: Filesystem): HakoError {
  return failed(filesystem, undefined, "fsopen", errnoNumber("ENODEV"));
}

function configStep(
  context: Fd,
  command: number,
  key: string | undefined,
  value: string | undefined,
  fd = 0,
): Step {
  const what = `fsconfig ${key ?? "create"}`;
  return { what, call: "fsconfig", args: [context.number, command, key ?? 0, value ?? 0, fd] };
}

/** What tells a file system its options, one after the other. */
function optionSteps({ source, options = [], pidNamespace }: Filesystem, context: Fd): Step[] {
  const steps = options.map((option) => {
    const split = option.indexOf("=");
    return split < 0
      ? configStep(context, FSCONFIG_SET_FLAG, option, undefined)
      : configStep(context, FSCONFIG_SET_STRING, option.slice(0, split), option.slice(split + 1));
  });
  if (source !== undefined) steps.unshift(configStep(context, FSCONFIG_SET_STRING, "source", source));
  if (pidNamespace !== undefined)
    steps.push(configStep(context, FSCONFIG_SET_FD, PID_NAMESPACE, undefined, pidNamespace.number));
  return steps;
}

/** Makes steps of a file system in one go; the result of the last. */
function configure(filesystem: Filesystem, context: Fd, steps: readonly Step[]): number {
  const [made, result] = walkSteps(steps);
  const step = steps[made];
  if (step !== undefined) throw failed(filesystem, context, step.what, -result);
  return result;
}

function openFilesystem(filesystem: Filesystem): Fd {
  const opened = trySyscall("fsopen", filesystem.type, FSOPEN_CLOEXEC);
  if (opened < 0) throw failed(filesystem, undefined, "fsopen", -opened);
  return new Fd(opened);
}

/** A file system that is told its options, and is not made yet: nothing has changed. */
export function configuredFilesystem(filesystem: Filesystem): Fd {
  const context = filesystem.context ?? openFilesystem(filesystem);
  try {
    configure(filesystem, context, optionSteps(filesystem, context));
    return context;
  } catch (error) {
    context.close();
    throw error;
  }
}

/** A new, detached mount of a file system. */
export function newFilesystem(filesystem: Filesystem): Fd {
  using context = filesystem.context ?? openFilesystem(filesystem);
  const { type, attributes = 0 } = filesystem;
  const mounted = configure(filesystem, context, [
    ...optionSteps(filesystem, context),
    configStep(context, FSCONFIG_CMD_CREATE, undefined, undefined),
    { what: "fsmount", call: "fsmount", args: [context.number, FSMOUNT_CLOEXEC, attributes] },
  ]);
  return new Fd(mounted, type);
}

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
/** Flags that fsconfig doesn't know (fs/fs_context.c, common_set_sb_flag). */
const ONLY_MOUNT: ReadonlySet<string> = new Set(["iversion", "silent"]);
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
 * As `newFilesystem` for an overlay with a long lowerdir, or a flag of old. mount(2) needs a place: it is in a file system of its
 * own, on a directory of this mount namespace, for a moment. In one that others may change we could not find the mount again.
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
    syscallOn(cover.name, "umount2", cover.path, MNT_DETACH);
  }
}

const MS_REMOUNT = 32;
const MS_BIND = 4096;
const MS_RELATIME = 1 << 21;
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
 * Changes the mount whose root a descriptor is, and its file system, to what is said: what is not said is off (mount(2)
 * "MS_REMOUNT"), but for what the kernel has locked.
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
  let flags = MS_REMOUNT | (mountOnly ? MS_BIND : 0) | ofSuperblock;
  for (const [attribute, flag] of MS_OF_ATTRIBUTE) if ((set & attribute) !== 0) flags |= flag;
  if ((set & ATTR.ATIME) === 0 && (clear & ATTR.ATIME) !== 0) flags |= MS_RELATIME;
  syscallOn(target.name, "mount", "none", target.path, null, flags, mountOnly ? null : data);
}

/** Whether a file system's mount failed for lack of rights or because it is there already in another way. */
export const REFUSED: readonly ErrnoName[] = ["EPERM", "EBUSY", "EACCES"];
