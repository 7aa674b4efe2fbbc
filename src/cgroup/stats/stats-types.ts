import * as v from "valibot";
import type { RdtStats } from "../../resctrl/stats";

// What `events` tells. Commands take types from here, and load none of it (src/output/documents.ts).

/** Beyond 2^53 a bigint. */
const integer = v.union([v.number(), v.bigint()]);

const memoryUsage = v.object({ limit: integer, usage: integer, max: integer, failcnt: integer });
export type MemoryUsage = v.InferOutput<typeof memoryUsage>;

const blkioEntry = v.object({
  major: v.number(),
  minor: v.number(),
  op: v.pipe(v.optional(v.string()), v.description('What was done, as "Read"; sums have none.')),
  value: integer,
});
export type BlkioEntry = v.InferOutput<typeof blkioEntry>;
const blkioEntries = v.array(blkioEntry);

const pressureData = v.object({
  avg10: v.number(),
  avg60: v.number(),
  avg300: v.number(),
  total: integer,
});
/** How long processes waited for a resource: at least one of them, and all of them. */
const pressure = v.object({ some: pressureData, full: pressureData });
export type Pressure = v.InferOutput<typeof pressure>;

/** The flags of a cpuset of v1; all are 0 on v2. */
const cpusetFlags = v.object({
  cpu_exclusive: v.number(),
  mem_hardwall: v.number(),
  mem_exclusive: v.number(),
  memory_migrate: v.number(),
  memory_spread_page: v.number(),
  memory_spread_slab: v.number(),
  memory_pressure: v.number(),
  sched_load_balance: v.number(),
  sched_relax_domain_level: v.number(),
});
export type CpusetFlags = v.InferOutput<typeof cpusetFlags>;

/**
 * The numbers of `events --stats`, under the names in runc's JSON (types/events.go). Times are nanoseconds. Numbers beyond 2^53 are
 * bigints. `psi` is there on v2, where the kernel measures it.
 */
export const statsDocument = v.object({
  cpu: v.object({
    usage: v.object({
      total: integer,
      percpu: v.optional(v.array(integer)),
      percpu_kernel: v.optional(v.array(integer)),
      percpu_user: v.optional(v.array(integer)),
      kernel: integer,
      user: integer,
    }),
    throttling: v.object({ periods: v.number(), throttledPeriods: v.number(), throttledTime: integer }),
    psi: v.optional(pressure),
  }),
  cpuset: v.object({ cpus: v.array(v.number()), mems: v.array(v.number()), ...cpusetFlags.entries }),
  memory: v.object({
    cache: integer,
    usage: memoryUsage,
    swap: memoryUsage,
    kernel: memoryUsage,
    kernelTCP: memoryUsage,
    raw: v.record(v.string(), integer),
    psi: v.optional(pressure),
  }),
  pids: v.object({ current: v.number(), limit: v.number() }),
  blkio: v.object({
    ioServiceBytesRecursive: blkioEntries,
    ioServicedRecursive: blkioEntries,
    ioQueueRecursive: v.optional(blkioEntries),
    ioServiceTimeRecursive: v.optional(blkioEntries),
    ioWaitTimeRecursive: v.optional(blkioEntries),
    ioMergedRecursive: v.optional(blkioEntries),
    ioTimeRecursive: v.optional(blkioEntries),
    sectorsRecursive: v.optional(blkioEntries),
    psi: v.optional(pressure),
  }),
  hugetlb: v.record(v.string(), v.object({ usage: integer, max: integer, failcnt: integer })),
  intel_rdt: v.pipe(
    v.custom<RdtStats>(() => true),
    v.description("Empty for containers without /linux/intelRdt."),
  ),
  network_interfaces: v.pipe(
    v.null(),
    v.description("Always null, as with runc, whose readers look for the field."),
  ),
});
export type CgroupStats = v.InferOutput<typeof statsDocument>;
