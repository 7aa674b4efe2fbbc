import type { Resources } from "../cgroup";
import { HakoError } from "../errors";
import type { ContainerId } from "./id";
import { lockContainer } from "./lock";
import { cgroupOf } from "./pause";
import { readRecord, statusOf } from "./record";

/** Changes limits of a container; those that are not given stay. All of them are taken back when one is refused. */
export function updateContainer(root: string, id: ContainerId, resources: Resources): void {
  using _lock = lockContainer(root, id);
  const record = readRecord(root, id);
  const status = statusOf(root, record);
  if (status === "stopped" || status === "creating") {
    throw new HakoError({ code: "state", message: `container "${id}": container not running: ${status}` });
  }
  // rules for devices are the container's for its life, as with runc
  const { devices: _, ...limits } = resources;
  cgroupOf(record).apply(limits);
}
