import { HakoError } from "../base/errors";
import type { Cgroup } from "../cgroup";
import { loadCgroup } from "../cgroup/group/stored";
import type { ContainerId } from "../oci/id";
import { lockContainer } from "../state/lock";
import { type ContainerRecord, readRecord, type Status, statusOf } from "../state/record";

/** Stops all processes of a container where they are. */
export function pauseContainer(root: string, id: ContainerId): void {
  using _lock = lockContainer(root, id);
  inState(root, id, ["created", "running"], "pause").freeze();
}

/** Lets them go on. */
export function resumeContainer(root: string, id: ContainerId): void {
  using _lock = lockContainer(root, id);
  inState(root, id, ["paused"], "resume").thaw();
}

function inState(root: string, id: ContainerId, wanted: readonly Status[], what: string): Cgroup {
  const record = readRecord(root, id);
  const status = statusOf(root, record);
  if (!wanted.includes(status)) {
    const message = `cannot ${what} container "${id}": container not ${wanted.at(-1)}: ${status}`;
    throw new HakoError({ code: "state", message });
  }
  return cgroupOf(record);
}

/** The cgroups of a container; an error if it has none. */
export function cgroupOf(record: ContainerRecord): Cgroup {
  if (record.cgroup !== undefined) return loadCgroup(record.cgroup);
  throw new HakoError({ code: "state", message: `container "${record.id}" has no cgroups` });
}
