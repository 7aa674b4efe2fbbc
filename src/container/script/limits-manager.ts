import { readLayout } from "../../cgroup";
import { mayWrite } from "../../cgroup/hierarchy/delegation";
import { isReachable } from "../../cgroup/systemd/manager";
import { dirname } from "../../linux/file/path-text";
import type { CgroupManager } from "../../oci/cgroup-managers";

/**
 * Who makes the cgroup of an ordinary user's container that has limits, where the caller doesn't say it: hako, if hako was called in
 * cgroups that are the user's to divide, whose limits are the container's too then; else the user's systemd, if there is one. A slice is systemd's own.
 */
export function managerForLimits(
  { version, hierarchies }: Pick<ReturnType<typeof readLayout>, "version" | "hierarchies"> = readLayout(),
  mayDivide = mayWrite,
  hasSystemd = () => isReachable("user"),
): CgroupManager {
  const unified = hierarchies.find((hierarchy) => hierarchy.unified);
  if (version !== "v2" || unified === undefined) return "cgroupfs";
  const above = dirname(unified.own);
  const delegated =
    !above.endsWith(".slice") && mayDivide(`${unified.mountpoint}${above === "/" ? "" : above}`);
  return !delegated && hasSystemd() ? "systemd" : "cgroupfs";
}
