import type { CgroupManager } from "../../oci/cgroup-managers";
import type { Config } from "../../oci/config";
import { type Cgroup, openCgroup } from "..";

/** The cgroups of a container that `create` will make; nothing is made yet. */
export function cgroupOfConfig(manager: CgroupManager, config: Config, id: string): Cgroup {
  if (manager === "systemd") {
    // D-Bus is for those who need it
    const { openScope } = require("./systemd-group") as typeof import("./systemd-group");
    return openScope(config, id);
  }
  if (manager === "cgroupfs") return openCgroup(config.linux?.cgroupsPath, id);
  const cgroup = openCgroup(undefined, id);
  for (const node of cgroup.record.nodes) node.skipped = "--cgroup-manager=disabled";
  return cgroup;
}
