import { readTable, tryReadValue, upwards } from "./files";
import type { CgroupRecord } from "./index";
import { readLayout } from "./layout";
import { type CgroupNode, directoryOf } from "./node";

/** A limit that was reached: of which cgroup, in which file, and how much it is. */
export interface Shortage {
  cgroup: string;
  file: string;
  limit: string;
}

/** Of memory. */
interface MemoryShortage extends Shortage {
  /** The limit is the container's own, not one of a cgroup above. */
  own: boolean;
}

function nodeWith(record: CgroupRecord, controller: string): CgroupNode | undefined {
  const there = record.nodes.filter(({ skipped }) => skipped === undefined);
  return (
    there.find(({ controllers }) => controllers.includes(controller)) ?? there.find(({ unified }) => unified)
  );
}

/**
 * The memory limit for which the kernel killed a process of a container's cgroup: its own, or that of one above. undefined
 * when it killed none. The cgroup was made for the container, so its counters began with it.
 */
export function memoryShortage(record: CgroupRecord): MemoryShortage | undefined {
  const node = nodeWith(record, "memory");
  if (node === undefined) return undefined;
  const dir = directoryOf(node);
  const kills = readTable(`${dir}/${node.unified ? "memory.events" : "memory.oom_control"}`).oom_kill ?? 0;
  if (kills === 0) return undefined;
  const file = node.unified ? "memory.max" : "memory.limit_in_bytes";
  for (const cgroup of upwards(dir, node.mountpoint)) {
    const hits = node.unified
      ? (readTable(`${cgroup}/memory.events.local`).oom ?? 0)
      : Number(tryReadValue(`${cgroup}/memory.failcnt`) ?? 0);
    if (hits === 0) continue;
    return { cgroup, file, limit: tryReadValue(`${cgroup}/${file}`) ?? "unknown", own: cgroup === dir };
  }
  return undefined;
}

/** The limit of processes that leaves no room: of our own cgroup or one above, or of the directory `born` that a child is born in. */
export function pidsShortage(born: string | undefined): Shortage | undefined {
  const { hierarchies } = readLayout();
  const own =
    hierarchies.find(({ controllers }) => controllers.includes("pids")) ??
    hierarchies.find(({ unified }) => unified);
  if (own === undefined) return undefined;
  const start = own.unified && born !== undefined ? born : `${own.mountpoint}${own.own}`.replace(/\/$/, "");
  for (const cgroup of upwards(start, own.mountpoint)) {
    const limit = tryReadValue(`${cgroup}/pids.max`);
    const current = tryReadValue(`${cgroup}/pids.current`);
    if (limit === undefined || current === undefined || limit === "max") continue;
    if (Number(current) >= Number(limit)) return { cgroup, file: "pids.max", limit };
  }
  return undefined;
}
