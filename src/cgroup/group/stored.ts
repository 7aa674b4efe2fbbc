import { directoryOf, plannedNode } from "../hierarchy/node";
import type { CgroupRecord } from "../hierarchy/record";
import type { Cgroup } from "./cgroup";
import { Group } from "./group";

/** Loaded on first use. */
const rare = {
  /** D-Bus is for those who need it. */
  get systemdGroup() {
    return require("./systemd-group") as typeof import("./systemd-group");
  },
};

/** The cgroups of a container from its stored record. */
export function loadCgroup(record: CgroupRecord): Cgroup {
  const copy = structuredClone(record);
  if (copy.unit === undefined) return new Group(copy);
  return new rare.systemdGroup.SystemdGroup({ ...copy, unit: copy.unit });
}

/** The record of cgroups that are going to be made: after a crash, whoever reads it can remove them. */
export function plannedRecord(cgroup: Cgroup): CgroupRecord {
  const { record } = cgroup;
  const planned = record.nodes.map((node) => (node.skipped === undefined ? plannedNode(node) : node));
  if (record.unit === undefined) return { ...record, nodes: planned };
  // systemd removes the slices
  const nodes = planned.map((node) => ({
    ...node,
    made: node.made.filter((dir) => dir === directoryOf(node)),
  }));
  return { ...record, nodes };
}
