import { realPath } from "../linux/file/file";
import { detach } from "../linux/mount/mount-calls";
import { readMountinfo } from "../linux/mount/mountinfo";

/** The root file system of a container without a mount namespace. It is mounted on itself, and the container's mounts lie in it. */
export interface HostMounts {
  path: string;
  /** How many mounts were there before the container's; these stay. */
  before: number;
}

function countAt(path: string): number {
  return readMountinfo().filter(({ mountpoint }) => mountpoint === path).length;
}

/** What will have to be unmounted with a container without a mount namespace; called before the container is made. */
export function plannedHostMounts(rootfs: string): HostMounts {
  const path = realPath(rootfs);
  return { path, before: countAt(path) };
}

export function removeHostMounts({ path, before }: HostMounts): void {
  for (let count = countAt(path); count > before; count--) detach(path);
}
