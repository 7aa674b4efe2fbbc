import { asHakoError, HakoError } from "../base/errors";
import { KEPT_OPTIONS } from "../drivers/namespaces/rootfs/overlay-root";
import { ACCESS, AT, O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import type { Step } from "../linux/call/step";
import { perform } from "../linux/call/walk";
import { setAttribute } from "../linux/file/extended-attributes";
import { checkAccess, hasErrno, makeDirectory, statusAt } from "../linux/file/file";
import { openAt } from "../linux/file/path";
import { isAtOrBelow } from "../linux/file/path-text";
import { type Filesystem, newFilesystem, newFilesystemSteps } from "../linux/mount/filesystem";
import { readMountinfo, visibleMounts } from "../linux/mount/mountinfo";
import { NAMESPACE_FLAGS } from "../linux/process/namespace";
import { reapChild } from "../linux/process/process";
import { effectiveUser, inUserNamespace, maySetUpAlone } from "../linux/process/rootless";
import { cloneChild, Reports } from "../linux/steps/clone-child";
import { closeNumberStep, freeNumbers } from "../linux/steps/known-numbers";
import { BEGUN, type ChangesRecord } from "./record";
import { removeHostileTree } from "./remove-tree";

/** Layers of overlays, of which the kernel is asked. */

/** Types of file systems on which an overlay's upper directory can be. */
const USUAL: ReadonlySet<string> = new Set(["ext4", "xfs", "btrfs", "tmpfs", "f2fs"]);

const OWN_NAMESPACES = NAMESPACE_FLAGS.user | NAMESPACE_FLAGS.mount;

/** Loaded for an error. */
const rare = {
  get explainClone() {
    return require("../explain/clone") as typeof import("../explain/clone");
  },
};

/** What is made to be tried. */
const PROBE = `${BEGUN}probe`;

/** In whose names an overlay of this process's containers notes what it has to; `inOwnUserNamespace` of those that have one of root's. */
export function attributeSpace(inOwnUserNamespace = false): ChangesRecord["attributes"] {
  return inOwnUserNamespace || !maySetUpAlone() || inUserNamespace() ? "user" : "trusted";
}

/** Refuses a directory on a file system where no upper directory can be: one is tried. */
export function checkUpperDirectory(directory: Fd, path: string): void {
  const probe = `${path}/${PROBE}`;
  removeHostileTree(directory, PROBE, PROBE);
  makeDirectory(probe, 0o700);
  try {
    for (const name of ["lower", "upper", "work"]) makeDirectory(`${probe}/${name}`, 0o700);
    using upper = openAt(undefined, `${probe}/upper`, O.RDONLY | O.DIRECTORY);
    setAttribute(upper, `${attributeSpace()}.overlay.opaque`, Uint8Array.of(0x6e));
    mountAndForget(probe, KEPT_OPTIONS, "work");
  } catch (thrown) {
    const error = asHakoError(thrown);
    // nothing was asked of the file system
    if (error.syscall === "clone") throw explained(error);
    if (error.errno === "ENOSPC") throw error;
    throw new HakoError({
      code: "unsupported",
      message: `no changes can be kept in ${path}: its file system can't hold the upper directory of an overlay`,
      hint: usableHint(),
      cause: error,
    });
  } finally {
    removeHostileTree(directory, PROBE, PROBE);
  }
}

function explained(error: HakoError): HakoError {
  return rare.explainClone.explainClone(error, { flags: OWN_NAMESPACES, born: undefined, joinsPid: false });
}

/** Where people have files, or could have some. */
function usableHint(): string {
  const usable = visibleMounts(readMountinfo()).filter(
    ({ type, mountpoint, options }) =>
      USUAL.has(type) && !options.includes("ro") && !isOfSystem(mountpoint) && isWritable(mountpoint),
  );
  const places = [...new Set(usable.map(({ mountpoint, type }) => `${mountpoint} (${type})`))].slice(0, 4);
  return places.length === 0 ? "ext4, xfs, btrfs and tmpfs can" : `${places.join(", ")} can`;
}

function isOfSystem(mountpoint: string): boolean {
  const top = ["/dev", "/proc", "/run", "/sys"].find((system) => isAtOrBelow(mountpoint, system));
  return top !== undefined && mountpoint !== "/dev/shm";
}

/** Some directory of an ordinary user's is in the root file system, too. */
function isWritable(mountpoint: string): boolean {
  if (mountpoint === "/") return true;
  try {
    checkAccess(mountpoint, ACCESS.W_OK | ACCESS.X_OK);
    return statusAt(mountpoint)?.type === "directory";
  } catch {
    return false;
  }
}

/**
 * Whether a layer is in use by a container that is there, by whatever path, and whether or not its hako is. Asks for an overlay that can't be: its
 * work directory is the upper one itself. Before the kernel sees that it says EBUSY of an upper directory in use, where an index is asked for
 * (ovl_get_upper() and ovl_get_workdir(), fs/overlayfs/super.c).
 */
export function isLayerInUse(layer: string): boolean {
  try {
    mountAndForget(layer, ["index=on"], "upper");
  } catch (error) {
    if (hasErrno(error, "EBUSY")) return true;
    if (hasErrno(error, "EINVAL")) return false;
    throw error;
  }
  throw new Error("an overlay whose upper directory is its work directory");
}

/** Makes an overlay that nobody sees: an ordinary user's in namespaces of its own. */
function mountAndForget(layer: string, options: readonly string[], work: string): void {
  const overlayOf = (lower: string, upper: string, working: string): Filesystem => ({
    type: "overlay",
    source: "overlay",
    options: [
      `lowerdir=${lower}`,
      `upperdir=${upper}`,
      `workdir=${working}`,
      ...(attributeSpace() === "user" ? ["userxattr"] : []),
      ...options,
    ],
  });
  using lower = openAt(undefined, layer, O.PATH | O.DIRECTORY);
  if (!maySetUpAlone()) {
    // descriptors of this mount namespace are of no use there, and names need no escapes
    inOwnNamespaces(lower, (context, mount) => [
      { what: `chdir ${layer}`, call: "chdir", args: [layer] },
      ...newFilesystemSteps(overlayOf(".", "upper", work), context, mount),
    ]);
    return;
  }
  using upper = openAt(undefined, `${layer}/upper`, O.PATH | O.DIRECTORY);
  using working = openAt(undefined, `${layer}/${work}`, O.PATH | O.DIRECTORY);
  newFilesystem(overlayOf(lower.path, upper.path, working.path)).close();
}

/** Writes a file that must be there, with the lowest descriptor that is free. */
function writeSteps(path: string, text: string, number: number): Step[] {
  return [
    {
      what: `open ${path}`,
      call: "openat",
      args: [AT.FDCWD, path, O.WRONLY, 0],
      success: { exactly: number },
    },
    { what: `write ${path}`, call: "write", args: [number, text, text.length] },
    { what: `close ${path}`, call: "close", args: [number] },
  ];
}

/** Has a child make steps in which its user is who it was, with the lowest descriptors that are free in it. */
function inOwnNamespaces(any: Fd, stepsWith: (first: number, second: number) => Step[]): void {
  // two more are the ends of what the child reports by
  const numbers = freeNumbers(any, 4);
  perform(numbers.map(closeNumberStep));
  const [, , first = -1, second = -1] = numbers;
  const own = (id: number) => `${id} ${id} 1`;
  const steps = [
    ...writeSteps("/proc/self/setgroups", "deny", first),
    ...writeSteps("/proc/self/uid_map", own(effectiveUser()), first),
    ...writeSteps("/proc/self/gid_map", own(process.getegid?.() ?? 0), first),
    ...stepsWith(first, second),
    { what: "exit", call: "exit_group" as const, args: [0] },
  ];
  using reports = new Reports(steps);
  const pid = cloneChild(
    { flags: OWN_NAMESPACES, cgroup: undefined, steps, waitsForNothing: false },
    reports,
  );
  reapChild(pid, true);
  const failure = reports.failure();
  if (failure !== undefined) throw failure;
}
