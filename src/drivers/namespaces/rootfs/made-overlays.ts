import { during } from "../../../base/errors";
import type { Fd, FdList } from "../../../linux/call/fd";
import { realPath, statusAt } from "../../../linux/file/file";
import { dirname } from "../../../linux/file/path-text";
import type { FileStatus } from "../../../linux/file/stat";
import { type Filesystem, fitsFsconfig, newFilesystem } from "../../../linux/mount/filesystem";
import type { Config } from "../../../oci/config";
import { planOf } from "../../../oci/mount-options";
import { hostOwnerOf, type NamespaceOwner } from "../birth/user-namespace-owner";
import { specifiedFilesystem } from "./mount-filesystem";

/** Options of an overlay that name directories (Documentation/filesystems/overlayfs.rst). */
const LAYERS = /^(lowerdir\+?|datadir\+|upperdir|workdir)=(.*)$/s;

/**
 * Overlays by their places in /mounts whose layers the root of the container's user namespace has no way to, such as those of a
 * client's store below directories of mode 0700: made here and handed over, as bind mounts of the same directories are.
 */
export function madeOverlays(config: Config, owner: FdList): Map<number, Fd> {
  const found = new Map<number, Fd>();
  const overlays = (config.mounts ?? []).flatMap((mount, index) =>
    mount.type === "overlay" && !planOf(mount.options ?? []).remount ? [{ mount, index }] : [],
  );
  const root = overlays.length === 0 ? undefined : hostOwnerOf(config);
  if (root === undefined) return found;
  for (const { mount, index } of overlays) {
    const filesystem = specifiedFilesystem(config, mount, planOf(mount.options ?? []));
    if (!fitsFsconfig(filesystem) || isWithinReach(filesystem, root)) continue;
    const what = `config /mounts/${index}: mount ${filesystem.source} on ${mount.destination}`;
    const tree = during(what, () => newFilesystem(filesystem));
    owner.add(tree);
    found.set(index, tree);
  }
  return found;
}

/** What can't be found is left to the process, which then says so. */
function isWithinReach({ options = [] }: Filesystem, root: NamespaceOwner): boolean {
  return options.every((option) => {
    const [, name, value = ""] = LAYERS.exec(option) ?? [];
    if (name === undefined) return true;
    const paths = name === "lowerdir" ? value.split(/(?<!\\):/) : [value];
    return paths.every((path) => mayReach(path.replaceAll(/\\(.)/g, "$1"), root));
  });
}

function mayReach(path: string, root: NamespaceOwner): boolean {
  if (!path.startsWith("/") || statusAt(path) === undefined) return true;
  for (let place = realPath(path); ; place = dirname(place)) {
    const status = statusAt(place);
    if (status !== undefined && !maySearch(status, root)) return false;
    if (place === "/") return true;
  }
}

/** As far as modes say: its capabilities count for files of its own namespace's ids alone, and there modes are no matter. */
function maySearch({ mode, uid, gid }: FileStatus, root: NamespaceOwner): boolean {
  if (uid === root.uid) return true;
  return (mode & (gid === root.gid ? 0o010 : 0o001)) !== 0;
}
