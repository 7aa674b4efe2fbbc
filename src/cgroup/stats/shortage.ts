import { readTable, tryReadValue, upwards } from "../hierarchy/files";
import { readLayout } from "../hierarchy/layout";
import { directoryOf } from "../hierarchy/node";
import type { CgroupNode, CgroupRecord } from "../hierarchy/record";
import { UNLIMITED } from "./unlimited";

const V1_LIMIT = "memory.limit_in_bytes";
const V1_LIMIT_AND_SWAP = "memory.memsw.limit_in_bytes";

/** A limit that was reached: its cgroup, its file, its value. */
export interface Shortage {
  cgroup: string;
  file: string;
  limit: string;
}

/** A limit of memory that was reached. */
export interface MemoryShortage extends Shortage {
  /** Whose limit it is; that of "cgroup" is of one above the container's. */
  of: "container" | "cgroup" | "machine";
}

function nodeWith(record: CgroupRecord, controller: string): CgroupNode | undefined {
  const there = record.nodes.filter(({ skipped }) => skipped === undefined);
  return (
    there.find(({ controllers }) => controllers.includes(controller)) ?? there.find(({ unified }) => unified)
  );
}

/** How many of a container's processes the kernel has killed for lack of memory; undefined where that is not counted. */
export function memoryKills(record: CgroupRecord): number | undefined {
  const file = memoryKillsFile(record);
  return file === undefined ? undefined : readTable(file).oom_kill;
}

/** The file that counts them, in a line that begins with "oom_kill ". */
export function memoryKillsFile(record: CgroupRecord): string | undefined {
  const node = nodeWith(record, "memory");
  return node && `${directoryOf(node)}/${node.unified ? "memory.events" : "memory.oom_control"}`;
}

/**
 * The memory limit, of the container's cgroup or of one above, for which the kernel killed a process of the container; undefined if it
 * killed none. The counters are the container's alone, for the cgroup was made for it.
 */
export function memoryShortage(record: CgroupRecord): MemoryShortage | undefined {
  const node = nodeWith(record, "memory");
  if (node === undefined || (memoryKills(record) ?? 0) === 0) return undefined;
  const dir = directoryOf(node);
  const cgroups = upwards(dir, node.mountpoint);
  const reached = node.unified ? reachedOnV2(cgroups) : (reachedOnV1(cgroups) ?? limitedWithSwap(cgroups));
  if (reached === undefined) return undefined;
  const { cgroup, file } = reached;
  return {
    ...reached,
    limit: tryReadValue(`${cgroup}/${file}`) ?? "unknown",
    of: cgroup === dir ? "container" : "cgroup",
  };
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
 * The limit of memory and swap that was reached, where no limit of memory was. Newer kernels don't count that (memory.memsw.failcnt
 * stays 0), so it is taken to be the innermost one.
 */
function limitedWithSwap(cgroups: readonly string[]): Reached | undefined {
  const read = (cgroup: string, file: string) => tryReadValue(`${cgroup}/${file}`);
  const cgroup = cgroups.find((each) => Number(read(each, V1_LIMIT_AND_SWAP) ?? UNLIMITED) < UNLIMITED);
  if (cgroup === undefined) return undefined;
  const isSame = read(cgroup, V1_LIMIT) === read(cgroup, V1_LIMIT_AND_SWAP);
  return { cgroup, file: isSame ? V1_LIMIT : V1_LIMIT_AND_SWAP };
}

/**
 * The limit of processes that leaves no room for one more: of hako's own cgroup or of one above, or on v2 of the cgroup `born` that a
 * process is created in.
 */
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
