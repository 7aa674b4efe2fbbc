import type { Resources } from "../../oci/config";
import type { CgroupNode, CgroupRecord } from "../hierarchy/record";
import { applyBlockIo } from "./block-io";
import { applyCpu, applyCpuset } from "./cpu";
import { applyDevices } from "./devices";
import { applyHugepages, applyPids, applyUnified } from "./limits";
import { applyMemory } from "./memory";
import { applyNetwork, applyRdma } from "./network";
import { Target } from "./target";

/**
 * Writes limits to the cgroups of a record; a failure takes back what was written before, but in cgroups that are `made` for
 * this, and go with the failure.
 */
export function applyResources(
  record: CgroupRecord,
  resources: Resources,
  made: ReadonlySet<CgroupNode>,
): void {
  const target = new Target(record, made);
  try {
    applyTo(target, record, resources);
  } catch (thrown) {
    target.takeBack();
    throw thrown;
  }
}

function applyTo(target: Target, record: CgroupRecord, resources: Resources): void {
  applyCpuset(target, resources.cpu);
  applyMemory(target, resources.memory);
  applyCpu(target, resources.cpu);
  applyPids(target, resources.pids);
  applyBlockIo(target, resources.blockIO);
  applyHugepages(target, resources.hugepageLimits);
  applyNetwork(target, resources.network);
  applyRdma(target, resources.rdma);
  // last: where it and another field say something of the same file, it is right, as in runc and crun
  applyUnified(target, resources.unified);
  if (resources.devices === undefined && record.devices) return;
  applyDevices(target, resources.devices ?? []);
  record.devices = true;
}
