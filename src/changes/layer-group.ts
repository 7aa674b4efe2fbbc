import type { FileStatus } from "../linux/file/stat";
import { effectiveUser, inUserNamespace } from "../linux/process/rootless";

/** What a user namespace calls groups that are not of its own (/proc/sys/kernel/overflowgid). */
const UNMAPPED = 65_534;

/**
 * Whether a place of an ordinary user's has a group that the user is not in, and can't give to the directory of its layer (chown(2)): that has the
 * user's own group, which is no change of the place.
 */
export function hasForeignGroup(layer: Pick<FileStatus, "gid">, place: Pick<FileStatus, "gid">): boolean {
  const own = process.getegid?.();
  return (
    effectiveUser() !== 0 &&
    layer.gid === own &&
    place.gid !== own &&
    ((inUserNamespace() && place.gid === UNMAPPED) || !(process.getgroups?.() ?? []).includes(place.gid))
  );
}
