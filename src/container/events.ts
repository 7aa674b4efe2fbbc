import { HakoError } from "../base/errors";
import type { CgroupStats } from "../cgroup";
import type { Fd } from "../linux/call/fd";
import { pollAny, type Watched } from "../linux/file/poll";
import { openProcess } from "../linux/process/process";
import type { ContainerId } from "../oci/id";
import { type ContainerRecord, readRecord, readStoredConfig, statusOf } from "../state/record";
import { cgroupOf } from "./pause";

/** What `events` tells, in the form of runc's JSON. */
export type ContainerEvent =
  | { type: "stats"; id: ContainerId; data: CgroupStats }
  | { type: "oom"; id: ContainerId };

/** The counters of a container, once. */
export function statsEvent(root: string, id: ContainerId): ContainerEvent {
  const record = running(root, id);
  return { type: "stats", id, data: countersOf(root, record)() };
}

/**
 * Tells the counters every so many milliseconds, and each time that memory ran out, until the container ends. False when it
 * ends before because `tell` says that nobody listens.
 */
export function watchEvents(
  root: string,
  id: ContainerId,
  interval: number,
  tell: (event: ContainerEvent) => boolean,
): boolean {
  const record = running(root, id);
  const cgroup = cgroupOf(record);
  const counters = countersOf(root, record);
  const { init } = record;
  using process = init === undefined ? undefined : openProcess(init.pid, init.startTime);
  if (process === undefined) throw notRunning(id);
  using oom = cgroup.watchOom();
  const watched: Watched[] = [ended(process), ...(oom === undefined ? [] : [oom.watched])];
  for (let next = performance.now() + interval; ; ) {
    const [gone, memory] = pollAny(watched, next - performance.now());
    // counted although it has ended: it may be why
    for (let count = memory === true ? (oom?.count() ?? 0) : 0; count > 0; count--) {
      if (!tell({ type: "oom", id })) return false;
    }
    if (gone === true) return true;
    if (performance.now() < next) continue;
    if (!tell({ type: "stats", id, data: counters() })) return false;
    next += interval;
  }
}

/** Reads the counters of a container's cgroup, and of its class of Intel RDT if it has one. */
function countersOf(root: string, record: ContainerRecord): () => CgroupStats {
  const cgroup = cgroupOf(record);
  const rdt = readStoredConfig(root, record.id).linux?.intelRdt;
  if (rdt === undefined) return () => cgroup.stats();
  const { rdtStats } = require("../resctrl/stats") as typeof import("../resctrl/stats");
  return () => ({ ...cgroup.stats(), intel_rdt: rdtStats(rdt, record.id) });
}

function ended(fd: Fd): Watched {
  return { fd, for: "read" };
}

function running(root: string, id: ContainerId): ContainerRecord {
  const record = readRecord(root, id);
  const status = statusOf(root, record);
  if (status === "stopped" || status === "creating") throw notRunning(id);
  return record;
}

function notRunning(id: ContainerId): HakoError {
  return new HakoError({ code: "state", message: `container with id ${id} is not running` });
}
