import { HakoError } from "../../../base/errors";
import { LOCK, O } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import { syscallOn } from "../../../linux/call/syscall";
import { changeMode, changeOwner, hasErrno, makeDirectories, statusAt } from "../../../linux/file/file";
import { openAt } from "../../../linux/file/path";
import { isAtOrBelow } from "../../../linux/file/path-text";
import { newFilesystem } from "../../../linux/mount/filesystem";
import { ATTR, attachTree, cloneTree, setMountAttributes } from "../../../linux/mount/mount-calls";
import { mountOnto } from "../../../linux/mount/mount-flags";
import { readMountinfo } from "../../../linux/mount/mountinfo";
import { inUserNamespace, maySetUpAlone } from "../../../linux/process/rootless";
import { logWarning } from "../../../output/log";
import type { OverlayRoot } from "../../interface/driver";

/** Kernel file systems that config.json mounts anew; the host's would tell about the host. */
const NOT_SHOWN = ["/proc", "/sys", "/dev"];

/**
 * Mounts a root file system that is only read, under an overlay that takes what is written. Every mount at or below what is read gets an overlay of its own, since overlayfs shows no mounts below its lower directory;
 * where it can't have one (a single file, a file system that overlayfs refuses) it is bound read-only.
 */
export function mountOverlayRoot({ directory, lower, writes, layers: kept }: OverlayRoot): void {
  setMountAttributes("/", { propagation: "slave", recursive: true });
  const scratch = `${directory}.scratch`;
  makeDirectories(scratch, 0o700);
  using tmpfs = newFilesystem({ type: "tmpfs", source: "tmpfs", options: ["mode=700"] });
  const sources = [lower, ...shownMounts(lower, directory)];
  attachTree(tmpfs, scratch);
  // from the look whether somebody writes there until this container does
  using _lock = writes === undefined ? undefined : claimWrites(writes, lower, scratch);
  sources.forEach((source, index) => {
    const target = source === lower ? directory : directory + source.slice(lower === "/" ? 0 : lower.length);
    const discarded = source === lower && writes !== undefined ? writes : `${scratch}/${index}`;
    const layers = kept === undefined ? discarded : kept.get(source);
    try {
      const isOverlay = layers !== undefined && statusAt(source)?.type === "directory";
      if (isOverlay && overlay(source, target, layers, kept === undefined ? [] : KEPT_OPTIONS)) return;
      if (source === lower && (lower !== "/" || kept !== undefined)) throw refused(lower, writes);
      bindReadOnly(source, target);
    } catch (error) {
      if (source === lower) throw error;
      if (!hasErrno(error, "ENOENT", "EACCES", "EINVAL", "EPERM", "ENOTDIR", "ESTALE")) throw error;
      // unmounted since the list was read, or below another mount
      if (statusAt(source) === undefined) return;
      logWarning(`${source} of the host can't be shown in the container: ${(error as Error).message}`);
    }
  });
  // The scratch area itself is out of the container's sight: pivot_root leaves it behind.
}

/**
 * Refuses a directory that keeps the writes of another container which is still there: overlayfs calls the result of two at once undefined.
 * The kernel knows it as the upper directory of a mount, by whatever path, and whether or not hako is still there.
 */
function claimWrites(writes: string, lower: string, scratch: string): Fd {
  makeDirectories(`${writes}/work`, 0o755);
  const directory = openAt(undefined, `${writes}/work`, O.RDONLY | O.DIRECTORY);
  syscallOn(writes, "flock", directory.number, LOCK.EX);
  const upper = `${writes}/upper`;
  if (statusAt(upper) === undefined || !isUpperDirectory(upper, lower, scratch)) return directory;
  directory.close();
  throw new HakoError({
    code: "state",
    message: `${writes} keeps the writes of a container that is still there`,
    hint: "wait for its end, or name another directory",
  });
}

/**
 * Asks for an overlay that can't be: its work directory is on another file system than the upper one. Before the kernel sees that it says EBUSY of
 * an upper directory in use, where an index is asked for (ovl_get_upper(), fs/overlayfs/super.c).
 */
function isUpperDirectory(upper: string, lower: string, scratch: string): boolean {
  makeDirectories(`${scratch}/work`);
  using place = openAt(undefined, scratch, O.PATH | O.DIRECTORY);
  try {
    mountOverlay(place, lower, upper, `${scratch}/work`, ["index=on"]);
  } catch (error) {
    return hasErrno(error, "EBUSY");
  }
  throw new Error("an overlay over two file systems");
}

/** Not shown read-only instead: the program was promised that it can write. */
function refused(lower: string, writes: string | undefined): HakoError {
  return new HakoError({
    code: "unsupported",
    message: `the kernel lays no overlay over ${lower}${writes === undefined ? "" : ` that keeps writes in ${writes}`}`,
    hint: "both have to be on file systems that overlayfs takes; the one that keeps writes can't be an overlay or of a network",
  });
}

/** The places below `lower` of the mounts that a path leads to, parents first. */
export function shownMounts(lower: string, directory?: string): string[] {
  const hidden = [...(lower === "/" ? NOT_SHOWN : []), ...(directory === undefined ? [] : [directory])];
  const places = new Set<string>();
  for (const { mountpoint: place } of readMountinfo()) {
    if (place === lower || !isAtOrBelow(place, lower)) continue;
    if (hidden.some((top) => isAtOrBelow(place, top))) continue;
    // a later mount on a directory covers what was mounted below it before
    for (const known of places) if (isAtOrBelow(known, place)) places.delete(known);
    places.add(place);
  }
  return [...places];
}

/** Nothing of a layer that is kept is noted so that only this overlay could read it: a rename as a redirect, data that stays below. */
export const KEPT_OPTIONS = ["redirect_dir=nofollow", "metacopy=off", "index=off"] as const;

function overlay(lower: string, target: string, layers: string, options: readonly string[]): boolean {
  const isNew = statusAt(`${layers}/upper`) === undefined;
  // from above, or each of the two would fail once
  makeDirectories(layers, 0o755);
  for (const name of ["upper", "work"]) makeDirectories(`${layers}/${name}`, 0o755);
  if (isNew) copyMode(lower, `${layers}/upper`);
  try {
    using place = openAt(undefined, target, O.PATH | O.DIRECTORY);
    mountOverlay(place, lower, `${layers}/upper`, `${layers}/work`, options);
    return true;
  } catch (error) {
    if (hasErrno(error, "EINVAL", "EPERM", "ELOOP", "ESTALE", "EOPNOTSUPP")) return false;
    throw error;
  }
}

function mountOverlay(
  place: Fd,
  lower: string,
  upper: string,
  work: string,
  options: readonly string[] = [],
): void {
  mountOnto(place, {
    type: "overlay",
    source: "overlay",
    options: [
      `lowerdir=${escaped(lower)}`,
      `upperdir=${escaped(upper)}`,
      `workdir=${escaped(work)}`,
      // trusted.* attributes are for the initial user namespace's root alone (Linux 5.11)
      ...(!maySetUpAlone() || inUserNamespace() ? ["userxattr"] : []),
      ...options,
    ],
  });
}

function bindReadOnly(source: string, target: string): void {
  using tree = cloneTree(source, false);
  setMountAttributes(tree, { set: ATTR.RDONLY });
  attachTree(tree, target);
}

/** The merged directory has the upper one's mode and owner; an owner who has no id in this user namespace can't be had. */
function copyMode(from: string, to: string): void {
  const status = statusAt(from);
  if (status === undefined) return;
  try {
    changeOwner(to, status.uid, status.gid);
  } catch (error) {
    if (!hasErrno(error, "EINVAL")) throw error;
  }
  changeMode(to, status.mode);
}

/** Overlay's options take a backslash before its separators. */
function escaped(path: string): string {
  return path.replaceAll(/[\\:,]/g, "\\$&");
}
