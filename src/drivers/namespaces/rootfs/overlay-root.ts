import { O } from "../../../linux/call/constants";
import { changeMode, changeOwner, hasErrno, makeDirectories, statusAt } from "../../../linux/file/file";
import { openAt } from "../../../linux/file/path";
import { isAtOrBelow } from "../../../linux/file/path-text";
import { newFilesystem } from "../../../linux/mount/filesystem";
import { ATTR, attachTree, cloneTree, setMountAttributes } from "../../../linux/mount/mount-calls";
import { mountOnto } from "../../../linux/mount/mount-flags";
import { type MountEntry, readMountinfo } from "../../../linux/mount/mountinfo";
import { logWarning } from "../../../output/log";

/** Kernel file systems that config.json mounts anew; the host's would tell about the host. */
const NOT_SHOWN = ["/proc", "/sys", "/dev"];

/**
 * The host's root file system at `directory`, to read; what is written goes to a tmpfs and ends with this mount
 * namespace. Every mount of the host gets an overlay of its own, since overlayfs shows no mounts below its lower
 * directory; where it can't have one (a single file, a file system that overlayfs refuses) it is bound read-only.
 */
export function mountOverlayOfHost(directory: string): void {
  setMountAttributes("/", { propagation: "slave", recursive: true });
  const scratch = `${directory}.scratch`;
  makeDirectories(scratch, 0o700);
  using tmpfs = newFilesystem({ type: "tmpfs", source: "tmpfs", options: ["mode=700"] });
  const mounts = shownMounts(directory);
  attachTree(tmpfs, scratch);
  mounts.forEach((mount, index) => {
    const target = mount.mountpoint === "/" ? directory : directory + mount.mountpoint;
    const source = mount.mountpoint;
    try {
      if (statusAt(source)?.type === "directory" && overlay(source, target, `${scratch}/${index}`)) return;
      bindReadOnly(source, target);
    } catch (error) {
      if (source === "/") throw error;
      if (!hasErrno(error, "ENOENT", "EACCES", "EINVAL", "EPERM", "ENOTDIR", "ESTALE")) throw error;
      // unmounted since the list was read, or below another mount
      if (statusAt(source) === undefined) return;
      logWarning(`${source} of the host can't be shown in the container: ${(error as Error).message}`);
    }
  });
  // The scratch area itself is out of the container's sight: pivot_root leaves it behind.
}

/** The mounts that a path leads to, parents first: of several on one place the last. */
function shownMounts(directory: string): MountEntry[] {
  const byPlace = new Map<string, MountEntry>();
  for (const mount of readMountinfo()) {
    const place = mount.mountpoint;
    const hidden = [...NOT_SHOWN, directory].some((top) => isAtOrBelow(place, top));
    if (hidden) continue;
    // a later mount on a directory covers what was mounted below it before
    for (const known of byPlace.keys()) if (isAtOrBelow(known, place)) byPlace.delete(known);
    byPlace.set(place, mount);
  }
  return [...byPlace.values()];
}

function overlay(lower: string, target: string, scratch: string): boolean {
  for (const name of ["upper", "work"]) makeDirectories(`${scratch}/${name}`, 0o755);
  copyMode(lower, `${scratch}/upper`);
  try {
    using place = openAt(undefined, target, O.PATH | O.DIRECTORY);
    mountOnto(place, {
      type: "overlay",
      source: "overlay",
      options: [`lowerdir=${escaped(lower)}`, `upperdir=${scratch}/upper`, `workdir=${scratch}/work`],
    });
    return true;
  } catch (error) {
    if (hasErrno(error, "EINVAL", "EPERM", "ELOOP", "ESTALE", "EOPNOTSUPP")) return false;
    throw error;
  }
}

function bindReadOnly(source: string, target: string): void {
  using tree = cloneTree(source, false);
  setMountAttributes(tree, { set: ATTR.RDONLY });
  attachTree(tree, target);
}

/** The merged directory has the upper one's mode and owner. */
function copyMode(from: string, to: string): void {
  const status = statusAt(from);
  if (status === undefined) return;
  changeOwner(to, status.uid, status.gid);
  changeMode(to, status.mode);
}

/** Overlay's options take a backslash before its separators. */
function escaped(path: string): string {
  return path.replaceAll(/[\\:,]/g, "\\$&");
}
