import type { CgroupManager } from "../../oci/cgroup-managers";
import type { Config } from "../../oci/config";
import { type Layout, readLayout } from "../hierarchy/layout";
import { placeIn } from "../hierarchy/paths";
import type { CgroupNode } from "../hierarchy/record";
import type { Cgroup } from "./cgroup";
import { Group } from "./group";

/** Loaded on first use. */
const rare = {
  /** D-Bus is for those who need it. */
  get systemdGroup() {
    return require("./systemd-group") as typeof import("./systemd-group");
  },
};

/** The cgroups of a container that is going to be made; nothing is made yet. */
export function cgroupOfConfig(manager: CgroupManager, config: Config, id: string): Cgroup {
  if (manager === "systemd") {
    return rare.systemdGroup.openScope(config, id);
  }
  if (manager === "cgroupfs") return openCgroup(config.linux?.cgroupsPath, id);
  const cgroup = openCgroup(undefined, id);
  for (const node of cgroup.record.nodes) node.skipped = "--cgroup-manager=disabled";
  return cgroup;
}

/** The cgroups of a container that is going to be made without systemd. */
export function openCgroup(cgroupsPath: string | undefined, containerId: string, layout?: Layout): Cgroup {
  const { version, hierarchies } = layout ?? readLayout();
  const nodes = hierarchies.map((hierarchy): CgroupNode => {
    const { mountpoint, name, controllers, unified } = hierarchy;
    return {
      mountpoint,
      name,
      controllers,
      unified,
      path: placeIn(hierarchy, cgroupsPath, containerId),
      made: [],
    };
  });
  return new Group({ version, nodes });
}
