import { during } from "../../base/errors";
import type { UndoStack } from "../../base/undo";
import type { CgroupStats } from "../../cgroup";
import { cgroupOf } from "../../state/cgroup-of";
import { type Container, readStoredConfig } from "../../state/record";
import type { MadeByDriver, Update } from "../interface/driver";

/** Loaded on first use. */
const rare = {
  get resctrl() {
    return require("../../resctrl/resctrl") as typeof import("../../resctrl/resctrl");
  },
  get stats() {
    return require("../../resctrl/stats") as typeof import("../../resctrl/stats");
  },
};

export { cgroupOf } from "../../state/cgroup-of";

/** Changes limits of cgroups, and of a class of Intel RDT. */
export function updateLimits(
  container: Container,
  { resources, schemas }: Update,
  made: (change: MadeByDriver) => void,
  undo: UndoStack,
): void {
  if (Object.keys(schemas).length > 0) during("update", () => updateSchemas(container, schemas, made, undo));
  // rules for devices are the container's for its life, as with runc
  const { devices: _, ...limits } = resources;
  if (Object.keys(limits).length > 0) cgroupOf(container.record).apply(limits);
}

function updateSchemas(
  { root, record }: Container,
  schemas: Update["schemas"],
  change: (change: MadeByDriver) => void,
  undo: UndoStack,
): void {
  const { id, init } = record;
  const made = [...(record.resctrl ?? [])];
  const pids = () => (record.cgroup === undefined ? [init?.pid ?? 0] : cgroupOf(record).pids());
  try {
    rare.resctrl.updateResctrl(
      { rdt: readStoredConfig(root, id).linux?.intelRdt, id, pids, made },
      schemas,
      undo,
    );
  } finally {
    // what was made is removed with the container, also when it could not be taken back
    if (made.length > (record.resctrl?.length ?? 0)) change({ resctrl: made });
  }
}

/** The counters of a container's cgroup, and of its class of Intel RDT if it has one. */
export function containerStats({ root, record }: Container): CgroupStats {
  const stats = cgroupOf(record).stats();
  const rdt = readStoredConfig(root, record.id).linux?.intelRdt;
  if (rdt === undefined) return stats;
  return { ...stats, intel_rdt: rare.stats.rdtStats(rdt, record.id) };
}
