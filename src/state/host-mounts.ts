import { realPath } from "../linux/file/file";
import { detach } from "../linux/mount/mount";
import { readMountinfo } from "../linux/mount/mountinfo";

/** The root file system of a container without a mount namespace: it is mounted on itself, with all of its mounts in it. */
export interface HostMounts {
  path: string;
  /** How many mounts were there before; these stay. */
  before: number;
}

function countAt(path: string): number {
  return readMountinfo().filter(({ mountpoint }) => mountpoint === path).length;
}

/** What has to be unmounted with a container without a mount namespace that is about to be made. */
export function plannedHostMounts(rootfs: string): HostMounts {
  const path = realPath(rootfs);
  return { path, before: countAt(path) };
}

export function removeHostMounts({ path, before }: HostMounts): void {
  for (let count = countAt(path); count > before; count--) detach(path);
}
