import { cleanPath, dirname } from "../../linux/file/path-text";
import type { Hierarchy } from "./layout";

/**
 * The container's directory below a hierarchy's mount point. As in runc: an absolute path starts there, a relative one at
 * our own cgroup on v1, and beside it on v2 (a cgroup with processes cannot give controllers to its children).
 * Without a path it is the container's id, which is relative: so the limits of what hako is called by are its containers' too, and
 * a user to whom cgroups are delegated has them there.
 */
export function placeIn(hierarchy: Hierarchy, cgroupsPath: string | undefined, id: string): string {
  const path = cgroupsPath === undefined || cgroupsPath === "" ? id : cgroupsPath;
  if (path.startsWith("/")) return cleanPath(path);
  const start = hierarchy.unified ? dirname(hierarchy.own) : hierarchy.own;
  return cleanPath(start + cleanPath(path));
}
