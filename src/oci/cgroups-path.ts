import { asHakoError } from "../base/errors";
import type { CgroupManager } from "./cgroup-managers";
import type { Config, Problem } from "./config";
import { isSystemdPath, unitPlace } from "./unit-path";

/**
 * Refuses a linux.cgroupsPath that is written for another cgroup manager: the container would be in another place than the caller
 * asked for.
 */
export function cgroupsPathProblems({ linux }: Config, manager: CgroupManager): Problem[] {
  const pointer = "/linux/cgroupsPath";
  const path = linux?.cgroupsPath ?? "";
  if (manager === "systemd") {
    try {
      unitPlace(path, "id", false);
    } catch (thrown) {
      return [{ pointer, message: asHakoError(thrown).message }];
    }
  }
  if (manager !== "cgroupfs" || !isSystemdPath(path)) return [];
  const message = `${JSON.stringify(path)} is a path for systemd: give --systemd-cgroup, or use the cgroupfs manager of your client`;
  return [{ pointer, message }];
}
