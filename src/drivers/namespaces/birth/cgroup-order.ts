import type { Config } from "../../../oci/config";
import { planOf } from "../../../oci/mount-options";

/**
 * Whether the container's process joins its cgroups before anything is mounted: hooks look for its cgroup, and what is copied is
 * the container's memory. Without either it joins last, so that the limits are the program's alone.
 */
export function joinsCgroupsFirst({ hooks, mounts }: Config): boolean {
  const kinds = [hooks?.prestart, hooks?.createRuntime, hooks?.createContainer];
  if (kinds.some((list) => (list ?? []).length > 0)) return true;
  return copiesUp({ mounts });
}

/** Whether a mount begins with a copy of what it covers, which is the container's memory. */
export function copiesUp({ mounts }: Pick<Config, "mounts">): boolean {
  return (mounts ?? []).some(({ options }) => planOf(options ?? []).copyUp);
}
