import type { Resources } from "../../oci/config";
import type { CgroupNode, CgroupRecord } from "../hierarchy/record";
import { applyBlockIo } from "./block-io";
import { applyCpu } from "./cpu";
import { applyCpuset } from "./cpuset";
import { applyDevices } from "./devices";
import { applyHugetlb } from "./hugetlb";
import { applyMemory } from "./memory";
import { applyNetwork } from "./network";
import { applyPids } from "./pids";
import { applyRdma } from "./rdma";
import { Target } from "./target";
import { applyUnified } from "./unified";

/** Writes to a container's cgroups what linux.resources asks of one controller. */
type ApplyController = (target: Target, resources: Resources) => void;

/** All controllers but that of devices, in the order of the writes, with the field that is about each. */
const CONTROLLERS: readonly (readonly [field: keyof Resources, apply: ApplyController])[] = [
  ["cpu", applyCpuset],
  ["memory", applyMemory],
  ["cpu", applyCpu],
  ["pids", applyPids],
  ["blockIO", applyBlockIo],
  ["hugepageLimits", applyHugetlb],
  ["network", applyNetwork],
  ["rdma", applyRdma],
  // after the others: where `unified` and another field are about one file, `unified` holds, as with runc and crun
  ["unified", applyUnified],
];

/**
 * Writes limits to the cgroups of a record. A failure puts the old values back, but not in the cgroups `made`, which are new and will
 * be removed.
 */
export function applyResources(
  record: CgroupRecord,
  resources: Resources,
  made: ReadonlySet<CgroupNode>,
): void {
  const target = new Target(record, made);
  try {
    for (const [field, apply] of CONTROLLERS) if (resources[field] !== undefined) apply(target, resources);
    // without rules, too, all devices are denied but the usual ones
    applyDevices(target, resources);
  } catch (thrown) {
    target.takeBack();
    throw thrown;
  }
}
