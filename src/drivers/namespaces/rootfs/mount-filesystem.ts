import type { Filesystem } from "../../../linux/mount/filesystem";
import { ATTR } from "../../../linux/mount/mount-calls";
import type { Config, Mount } from "../../../oci/config";
import type { MountPlan } from "../../../oci/mount-options";
import { hasSelinux } from "../program/labels";

/** Kernel file systems whose superblock is shared: only the mount can be read-only. */
const SHARED_SUPERBLOCK: ReadonlySet<string> = new Set(["proc", "sysfs", "mqueue", "devpts", "tmpfs"]);

/** File systems whose labels SELinux's policy gives. */
const UNLABELED: ReadonlySet<string> = new Set(["proc", "sysfs", "mqueue", "cgroup", "cgroup2"]);

/** The file system that an entry of /mounts asks for, with the options that are its own. */
export function specifiedFilesystem(
  config: Pick<Config, "linux">,
  mount: Mount,
  plan: MountPlan,
): Filesystem & { source: string; options: string[] } {
  const type = mount.type ?? "none";
  const readonly = (plan.own.set & ATTR.RDONLY) !== 0 && !SHARED_SUPERBLOCK.has(type);
  return {
    type,
    source: mount.source === undefined || mount.source === "" ? type : mount.source,
    options: [...plan.superblock, ...plan.data, ...(readonly ? ["ro"] : []), ...labelOf(config, type)],
  };
}

/** linux.mountLabel for what has files of its own; where there is no SELinux it says nothing. */
function labelOf({ linux }: Pick<Config, "linux">, type: string): string[] {
  const label = linux?.mountLabel ?? "";
  if (label === "" || UNLABELED.has(type) || !hasSelinux()) return [];
  return [`context=${label}`];
}
