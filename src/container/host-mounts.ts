import { realPath } from "../linux/file";
import { detach } from "../linux/mount";
import { readMountinfo } from "../linux/mountinfo";
import type { Config } from "../oci/config";
import { hasNamespace } from "../oci/namespaces";

/** The root file system of a container without a mount namespace: it is mounted on itself, with all of its mounts in it. */
export interface HostMounts {
  path: string;
  /** How many mounts were there before; these stay. */
  before: number;
}

function countAt(path: string): number {
  return readMountinfo().filter(({ mountpoint }) => mountpoint === path).length;
}

/** What has to be unmounted with a container that is about to be made; undefined if it has a mount namespace. */
export function plannedHostMounts(config: Config, rootfs: string): HostMounts | undefined {
  if (hasNamespace(config, "mount")) return undefined;
  const path = realPath(rootfs);
  return { path, before: countAt(path) };
}

export function removeHostMounts({ path, before }: HostMounts): void {
  for (let count = countAt(path); count > before; count--) detach(path);
}
