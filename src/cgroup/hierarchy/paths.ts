import { cleanPath, dirname } from "../../linux/file/path-text";
import type { Hierarchy } from "./layout";

/**
 * The container's directory below a hierarchy's mount point, as with runc.
 *
 * - An absolute path starts at the mount point.
 * - A relative one starts at hako's own cgroup on v1; on v2 beside that, for a cgroup with processes gives its children no
 *   controllers.
 * - Without a path it is the container's id, which is relative. So the limits of hako's caller are its containers' too, and a user to
 *   whom cgroups are delegated has the containers' there.
 */
export function placeIn(hierarchy: Hierarchy, cgroupsPath: string | undefined, id: string): string {
  const path = cgroupsPath === undefined || cgroupsPath === "" ? id : cgroupsPath;
  if (path.startsWith("/")) return cleanPath(path);
  const start = hierarchy.unified ? dirname(hierarchy.own) : hierarchy.own;
  return cleanPath(start + cleanPath(path));
}
