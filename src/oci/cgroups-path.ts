import type { CgroupManager } from "../cgroup/managers";
import { isSystemdPath } from "../cgroup/paths";
import { asHakoError } from "../errors";
import { unitPlace } from "../systemd/unit-path";
import type { Config, Problem } from "./config";

/** A cgroupsPath in the form of another cgroup manager: the container would be in another place than asked for. */
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
