import * as v from "valibot";
import type { CgroupStats } from "../../../cgroup";

/** What a guest says of what its container uses, in the form of `events --stats`: numbers, and no more of them than a kernel has. */

const MOST_ENTRIES = 1024;

const count = v.union([v.pipe(v.number(), v.finite()), v.bigint()]);
const number = v.pipe(v.number(), v.finite());
const name = v.pipe(v.string(), v.maxLength(64), v.regex(/^[\w.:-]*$/));
const list = <Schema extends v.GenericSchema>(each: Schema) =>
  v.pipe(v.array(each), v.maxLength(MOST_ENTRIES));
const named = <Schema extends v.GenericSchema>(each: Schema) =>
  v.pipe(
    v.record(name, each),
    v.check((entries) => Object.keys(entries).length <= MOST_ENTRIES, "too many entries"),
  );

const memoryUsage = v.object({ limit: count, usage: count, max: count, failcnt: count });
const waited = v.object({ avg10: number, avg60: number, avg300: number, total: count });
const pressure = v.optional(v.object({ some: waited, full: waited }));
const blkio = list(v.object({ major: number, minor: number, op: v.optional(name), value: count }));

const stats = v.object({
  cpu: v.object({
    usage: v.object({
      total: count,
      percpu: v.optional(list(count)),
      percpu_kernel: v.optional(list(count)),
      percpu_user: v.optional(list(count)),
      kernel: count,
      user: count,
    }),
    throttling: v.object({ periods: number, throttledPeriods: number, throttledTime: count }),
    psi: pressure,
  }),
  cpuset: v.object({
    cpus: list(number),
    mems: list(number),
    cpu_exclusive: number,
    mem_hardwall: number,
    mem_exclusive: number,
    memory_migrate: number,
    memory_spread_page: number,
    memory_spread_slab: number,
    memory_pressure: number,
    sched_load_balance: number,
    sched_relax_domain_level: number,
  }),
  memory: v.object({
    cache: count,
    usage: memoryUsage,
    swap: memoryUsage,
    kernel: memoryUsage,
    kernelTCP: memoryUsage,
    raw: named(count),
    psi: pressure,
  }),
  pids: v.object({ current: number, limit: number }),
  blkio: v.object({
    ioServiceBytesRecursive: blkio,
    ioServicedRecursive: blkio,
    ioQueueRecursive: v.optional(blkio),
    ioServiceTimeRecursive: v.optional(blkio),
    ioWaitTimeRecursive: v.optional(blkio),
    ioMergedRecursive: v.optional(blkio),
    ioTimeRecursive: v.optional(blkio),
    sectorsRecursive: v.optional(blkio),
    psi: pressure,
  }),
  hugetlb: named(v.object({ usage: count, max: count, failcnt: count })),
});

/** The counters that a guest has told; undefined if they are none. */
export function toldStats(told: unknown): CgroupStats | undefined {
  const parsed = v.safeParse(stats, told);
  if (!parsed.success) return undefined;
  return { ...parsed.output, intel_rdt: {}, network_interfaces: null } as CgroupStats;
}
