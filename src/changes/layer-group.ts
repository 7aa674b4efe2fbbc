import type { FileStatus } from "../linux/file/stat";
import { effectiveUser } from "../linux/process/rootless";

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
    !(process.getgroups?.() ?? []).includes(place.gid)
  );
}
