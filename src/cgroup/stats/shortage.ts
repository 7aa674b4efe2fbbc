import { readTable, tryReadValue, upwards } from "../hierarchy/files";
import { readLayout } from "../hierarchy/layout";
import { directoryOf } from "../hierarchy/node";
import type { CgroupNode, CgroupRecord } from "../hierarchy/record";

const V1_LIMIT = "memory.limit_in_bytes";
const V1_LIMIT_AND_SWAP = "memory.memsw.limit_in_bytes";
/** More than any machine has; v1 says "no limit" by a number of that size. */
const NO_LIMIT = 2 ** 62;

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
  const cgroups = upwards(dir, node.mountpoint);
  const reached = node.unified ? reachedOnV2(cgroups) : (reachedOnV1(cgroups) ?? limitedWithSwap(cgroups));
  if (reached === undefined) return undefined;
  const { cgroup, file } = reached;
  return { ...reached, limit: tryReadValue(`${cgroup}/${file}`) ?? "unknown", own: cgroup === dir };
}

type Reached = Pick<Shortage, "cgroup" | "file">;

function reachedOnV2(cgroups: readonly string[]): Reached | undefined {
  const cgroup = cgroups.find((each) => (readTable(`${each}/memory.events.local`).oom ?? 0) > 0);
  return cgroup === undefined ? undefined : { cgroup, file: "memory.max" };
}

function reachedOnV1(cgroups: readonly string[]): Reached | undefined {
  const cgroup = cgroups.find((each) => Number(tryReadValue(`${each}/memory.failcnt`) ?? 0) > 0);
  return cgroup === undefined ? undefined : { cgroup, file: V1_LIMIT };
}

/**
 * The limit of memory and swap that was reached, when it was none of memory alone. Newer kernels don't count how often
 * (memory.memsw.failcnt stays 0), so it is that of the innermost cgroup that has one.
 */
function limitedWithSwap(cgroups: readonly string[]): Reached | undefined {
  const read = (cgroup: string, file: string) => tryReadValue(`${cgroup}/${file}`);
  const cgroup = cgroups.find((each) => Number(read(each, V1_LIMIT_AND_SWAP) ?? NO_LIMIT) < NO_LIMIT);
  if (cgroup === undefined) return undefined;
  const isSame = read(cgroup, V1_LIMIT) === read(cgroup, V1_LIMIT_AND_SWAP);
  return { cgroup, file: isSame ? V1_LIMIT : V1_LIMIT_AND_SWAP };
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
