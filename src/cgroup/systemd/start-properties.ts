import type { CgroupVersion } from "../hierarchy/layout";
import type { Property } from "./manager";
import { booleanVariant, stringVariant } from "./variants";

/** OOMPolicy= of scopes. */
const OOM_POLICY_SINCE = 253;

export interface ScopePlan {
  id: string;
  slice: string;
  version: CgroupVersion;
  systemd: number;
  /** memory.oom.group of linux.resources.unified: systemd takes it at the start only. */
  oomGroup: string | undefined;
  /** Properties from annotations, which win over the others. */
  annotated: readonly Property[];
}

/** The properties that a scope is started with, as by runc. Limits are set later. All resources are accounted for, limited or not. */
export function startProperties(plan: ScopePlan): Property[] {
  const { id, slice, version, systemd, oomGroup, annotated } = plan;
  const properties = new Map<string, Property[1]>([
    ["Description", stringVariant(`hako container ${id}`)],
    ["Slice", stringVariant(slice)],
    ["Delegate", booleanVariant(true)],
    ["MemoryAccounting", booleanVariant(true)],
    ["CPUAccounting", booleanVariant(true)],
    [version === "v2" ? "IOAccounting" : "BlockIOAccounting", booleanVariant(true)],
    ["TasksAccounting", booleanVariant(true)],
    ["DefaultDependencies", booleanVariant(false)],
    ...annotated,
  ]);
  if (systemd >= OOM_POLICY_SINCE && !properties.has("OOMPolicy")) {
    if (oomGroup === "0") properties.set("OOMPolicy", stringVariant("continue"));
    if (oomGroup === "1") properties.set("OOMPolicy", stringVariant("kill"));
  }
  return [...properties];
}
