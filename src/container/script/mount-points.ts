import { O } from "../../linux/call/constants";
import { statusAt } from "../../linux/file/file";
import { openAt, openIfThere } from "../../linux/file/path";
import { isAtOrBelow } from "../../linux/file/path-text";
import { isBind } from "../../oci/mount-options";
import { isMarked } from "../../state/marked-file";
import type { MountPoint } from "../../state/mount-points";
import type { OrderedMount } from "./mount-order";

/**
 * The places of mounts that a directory lacks, or has from another container of hako's. What lies in an earlier mount is not the directory's.
 * Of `files`, by their paths, some may still have to be made.
 */
export function lackingMountPoints(
  rootfs: string,
  mounts: readonly OrderedMount[],
  files: ReadonlyMap<string, string> = new Map(),
): MountPoint[] {
  using root = openAt(undefined, rootfs, O.PATH | O.DIRECTORY);
  const own = mounts.filter(
    ({ place }, index) => !mounts.slice(0, index).some((earlier) => isAtOrBelow(place, earlier.place)),
  );
  return own.flatMap(({ mount, place }) => {
    using there = openIfThere(root, place, O.PATH | O.NOFOLLOW);
    if (there !== undefined && !isMarked(there)) return [];
    if (mount.source !== undefined && files.has(mount.source)) return { path: place, file: true };
    const source = isBind(mount) && mount.source !== undefined ? statusAt(mount.source) : undefined;
    return { path: place, file: source !== undefined && source.type !== "directory" };
  });
}
