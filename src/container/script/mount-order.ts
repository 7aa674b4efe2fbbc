import { O } from "../../linux/call/constants";
import type { Fd } from "../../linux/call/fd";
import { hasErrno } from "../../linux/file/file";
import { isWithoutLinks, openAt, openIfThere, readLink } from "../../linux/file/path";
import { cleanPath, components, isAtOrBelow, join } from "../../linux/file/path-text";
import { fileStatusOf } from "../../linux/file/stat";
import { readMountinfo, visibleMounts } from "../../linux/mount/mountinfo";
import type { Mount } from "../../oci/config";
import { isBind } from "../../oci/mount-options";

/** As the kernel's MAXSYMLINKS. */
export const MAX_SYMLINKS = 40;

/** A mount, and the path that its destination leads to in the root file system. */
export interface OrderedMount {
  mount: Mount;
  place: string;
}

/**
 * The mounts of `hako run --rootfs`, ordered so that none hides another: those nearer to the root first, those of equal depth as they were
 * given. The usual mounts come before the given ones, and are left out where a given one covers them.
 */
export function inOrder(rootfs: string, usual: readonly Mount[], given: readonly Mount[]): OrderedMount[] {
  using root = openAt(undefined, rootfs, O.PATH | O.DIRECTORY);
  const kept = usual.filter(({ destination }) => !given.some((mount) => covers(mount, destination)));
  const placed = [...kept, ...given].map((mount) => ({
    mount,
    place: resolvedDestination(root, mount.destination),
  }));
  return placed.toSorted((one, other) => components(one.place).length - components(other.place).length);
}

/**
 * Whether a given mount hides a usual one. Names are compared, not where links lead: that would matter for /proc alone, which takes nothing
 * but a procfs in any case.
 */
function covers(mount: Mount, destination: string): boolean {
  const top = cleanPath(mount.destination);
  // a new file system is empty, so a usual mount below it hides nothing that was given
  return isBind(mount) ? isAtOrBelow(destination, top) : destination === top;
}

/** The path that a path leads to in a root file system. Links are followed as far as files exist, and this user may look. */
export function resolvedDestination(root: Fd, path: string): string {
  const clean = cleanPath(path);
  // that is how most are, and costs less than to look at each name
  if (isWithoutLinks(root, clean)) return clean;
  const left = components(clean);
  const found: string[] = [];
  let links = 0;
  for (let name = left.shift(); name !== undefined; name = left.shift()) {
    if (name === "..") {
      found.pop();
      continue;
    }
    using there = lookAt(root, `/${[...found, name].join("/")}`);
    if (there === undefined || fileStatusOf(there).type !== "symlink" || links++ === MAX_SYMLINKS) {
      found.push(name);
      continue;
    }
    const text = readLink(there);
    if (text.startsWith("/")) found.length = 0;
    left.unshift(...components(text));
  }
  return `/${found.join("/")}`;
}

/** undefined for what is not there, and what another user keeps to itself, as a directory of an image may be. */
function lookAt(root: Fd, path: string): Fd | undefined {
  try {
    return openIfThere(root, path, O.PATH | O.NOFOLLOW);
  } catch (error) {
    if (hasErrno(error, "EACCES")) return undefined;
    throw error;
  }
}

/** The mounts below a root file system, by their path in the container, without those that the container's own mounts cover. */
export function mountsBelow(rootfs: string, own: readonly OrderedMount[]): string[] {
  const top = rootfs === "/" ? "" : rootfs;
  return visibleMounts(readMountinfo())
    .map(({ mountpoint }) => mountpoint)
    .filter((path) => path !== "/" && path.startsWith(`${top}/`))
    .map((path) => path.slice(top.length))
    .filter((path) => !own.some(({ place }) => isAtOrBelow(path, place)));
}

/** A file of the container's directory, and where the container has it. */
export interface OwnFile {
  name: string;
  text: string;
  places: readonly string[];
}

/** Files that the container has in place of those of its root file system: where they are made, and what is in them. */
export interface OwnFiles {
  files: ReadonlyMap<string, string>;
  mounts: readonly Mount[];
}

/** Files of the container's own `directory`, only to be read. */
export function ownFiles(directory: string, files: readonly OwnFile[]): OwnFiles {
  const options = ["bind", "ro", "nosuid", "nodev", "noexec"];
  return {
    files: new Map(files.map(({ name, text }) => [join(directory, name), text])),
    mounts: files.flatMap(({ name, places }) =>
      places.map((destination) => ({ destination, type: "bind", source: join(directory, name), options })),
    ),
  };
}
