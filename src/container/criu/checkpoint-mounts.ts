import { HakoError } from "../../base/errors";
import type { Cgroup } from "../../cgroup";
import { O } from "../../linux/call/constants";
import type { Fd } from "../../linux/call/fd";
import { readText } from "../../linux/file/file";
import { createFileInRoot, mkdirAllInRoot, openAt, openIfThere } from "../../linux/file/path";
import { basename, cleanPath, isAtOrBelow, join, resolve } from "../../linux/file/path-text";
import { fileStatusOf } from "../../linux/file/stat";
import { type MountEntry, readMountinfo } from "../../linux/mount/mountinfo";
import type { Config, Mount } from "../../oci/config";
import { isBind } from "../../oci/mount-options";

/** File systems that are never saved as mounts of the host's: restore makes them anew. */
const KERNEL_TYPES: ReadonlySet<string> = new Set(["proc", "sysfs", "mqueue", "devpts"]);

/** A mount of the container whose files are the host's: criu notes a key, and gets a directory for it when it restores. */
export interface ExternalMount {
  key: string;
  /** Where it is in the container. */
  mountpoint: string;
  /** The destination of the entry in config.json /mounts that it comes from; undefined for a device of the host. */
  destination: string | undefined;
  /** The path below that destination; "" is the entry itself. */
  below: string;
}

/** A place in the root file system that something was mounted on. */
export interface Mountpoint {
  path: string;
  directory: boolean;
}

export interface SavedMounts {
  mounts: ExternalMount[];
  mountpoints: Mountpoint[];
}

/** An entry of config.json /mounts, and where it really is: its destination may have led through links. */
export interface PlacedMount {
  mount: Mount;
  mountpoint: string;
}

const isCgroup = ({ type }: { type?: string | undefined }) => type === "cgroup" || type === "cgroup2";

/** The mounts of a running container that criu has to be told of. */
export function savedMounts(pid: number, config: Config): SavedMounts {
  const mounts = readMountinfo(`/proc/${pid}/mountinfo`);
  const hostDevices = new Set(readMountinfo().map(({ device }) => device));
  using root = openAt(undefined, `/proc/${pid}/root`, O.PATH | O.DIRECTORY);
  const placed = (config.mounts ?? []).map((mount) => ({
    mount,
    mountpoint: placeOf(root, mount.destination, mounts),
  }));
  const top = mounts.findLast(({ mountpoint }) => mountpoint === "/");
  const mountpoints = mounts
    .filter(({ parent, mountpoint }) => parent === top?.id && mountpoint !== "/")
    .map(({ mountpoint }) => ({ path: mountpoint, directory: isDirectory(root, mountpoint) }));
  return { mounts: externalMounts(mounts, placed, hostDevices), mountpoints };
}

function placeOf(root: Fd, destination: string, mounts: readonly MountEntry[]): string {
  using file = openIfThere(root, destination, O.PATH);
  if (file === undefined) return cleanPath(destination);
  const id = Number(/^mnt_id:\s*(\d+)/m.exec(readText(`/proc/self/fdinfo/${file.number}`))?.[1]);
  return mounts.find((mount) => mount.id === id)?.mountpoint ?? cleanPath(destination);
}

function isDirectory(root: Fd, path: string): boolean {
  using file = openIfThere(root, path, O.PATH);
  return file === undefined || fileStatusOf(file).type === "directory";
}

/** The mounts of a container whose files are the host's. */
export function externalMounts(
  mounts: readonly MountEntry[],
  placed: readonly PlacedMount[],
  hostDevices: ReadonlySet<string>,
): ExternalMount[] {
  const external: ExternalMount[] = [];
  for (const entry of mounts) {
    const { mountpoint } = entry;
    if (mountpoint === "/") continue;
    const origin = originOf(mountpoint, placed);
    const device = origin === undefined || !(isBind(origin.mount) || isCgroup(origin.mount));
    if (!isExternal(entry, origin, hostDevices)) continue;
    external.push({
      key: `hako-${external.length}`,
      mountpoint,
      destination: device ? undefined : cleanPath(origin.mount.destination),
      below: device ? "" : mountpoint.slice(origin.mountpoint.length),
    });
  }
  return external;
}

/** The entry of config.json that a mount comes from: the nearest above it, and of several the last. */
function originOf(mountpoint: string, placed: readonly PlacedMount[]): PlacedMount | undefined {
  let found: PlacedMount | undefined;
  for (const each of placed) {
    const place = each.mountpoint;
    if (isAtOrBelow(mountpoint, place) && place.length >= (found?.mountpoint.length ?? 0)) found = each;
  }
  return found;
}

function isExternal(
  entry: MountEntry,
  origin: PlacedMount | undefined,
  hostDevices: ReadonlySet<string>,
): boolean {
  const { mountpoint, device, type } = entry;
  if (origin !== undefined && isCgroup(origin.mount)) return isCgroup(entry);
  if (origin !== undefined && isBind(origin.mount)) {
    // mounts below it may also be masks, which are the container's own
    return origin.mountpoint === mountpoint ? true : hostDevices.has(device);
  }
  // where hako could not make a device node, it has bound the host's
  return mountpoint.startsWith("/dev/") && hostDevices.has(device) && !KERNEL_TYPES.has(type);
}

/** Where an external mount's files are on this host, for the container that is restored from this bundle. */
export function sourceOf(saved: ExternalMount, config: Config, bundle: string, cgroup: Cgroup): string {
  const { destination, below, mountpoint } = saved;
  if (destination === undefined) return mountpoint;
  const mount = (config.mounts ?? []).findLast((each) => cleanPath(each.destination) === destination);
  const missing = new HakoError({
    code: "config",
    message: `config /mounts: nothing is mounted on ${destination}, and the checkpoint has a mount there`,
    hint: "restore needs a bundle with the mounts of the one that was saved",
  });
  if (mount === undefined) throw missing;
  if (isCgroup(mount)) {
    const directory = cgroupDirectory(cgroup, below);
    if (directory === undefined) throw missing;
    return directory;
  }
  if (!isBind(mount) || mount.source === undefined) throw missing;
  return join(resolve(bundle, mount.source), below);
}

/** Makes the mount points that a new root file system lacks. */
export function makeMountpoints(rootfs: string, mountpoints: readonly Mountpoint[]): void {
  using root = openAt(undefined, rootfs, O.PATH | O.DIRECTORY);
  for (const { path, directory } of mountpoints) {
    (directory ? mkdirAllInRoot(root, path) : createFileInRoot(root, path)).close();
  }
}

/** The container's directory in the hierarchy that is mounted under this name; "" is cgroup2 alone. */
function cgroupDirectory(cgroup: Cgroup, below: string): string | undefined {
  const { hierarchies } = cgroup.mounts();
  const found = hierarchies.find(({ mountpoint, name }) =>
    below === "" ? name === "" : `/${basename(mountpoint)}` === below,
  );
  return found === undefined ? undefined : join(found.mountpoint, found.path);
}
