import type { Integer } from "../../oci/json";
import type { RdtStats } from "../../resctrl/stats";

export interface MemoryUsage {
  limit: Integer;
  usage: Integer;
  max: Integer;
  failcnt: Integer;
}

export interface BlkioEntry {
  major: number;
  minor: number;
  /** What was done, as "Read"; sums have none. */
  op?: string;
  value: Integer;
}

interface PressureData {
  avg10: number;
  avg60: number;
  avg300: number;
  total: Integer;
}

/** How long processes waited for a resource: at least one of them, and all of them. */
export interface Pressure {
  some: PressureData;
  full: PressureData;
}

/** The flags of a cpuset of v1; all are 0 on v2. */
export interface CpusetFlags {
  cpu_exclusive: number;
  mem_hardwall: number;
  mem_exclusive: number;
  memory_migrate: number;
  memory_spread_page: number;
  memory_spread_slab: number;
  memory_pressure: number;
  sched_load_balance: number;
  sched_relax_domain_level: number;
}

/**
 * The numbers of `events --stats`, under the names in runc's JSON (types/events.go). Times are nanoseconds. Numbers beyond 2^53 are
 * bigints. `psi` is there on v2, where the kernel measures it.
 */
export interface CgroupStats {
  cpu: {
    usage: {
      total: Integer;
      percpu?: Integer[];
      percpu_kernel?: Integer[];
      percpu_user?: Integer[];
      kernel: Integer;
      user: Integer;
    };
    throttling: { periods: number; throttledPeriods: number; throttledTime: Integer };
    psi?: Pressure | undefined;
  };
  cpuset: { cpus: number[]; mems: number[] } & CpusetFlags;
  memory: {
    cache: Integer;
    usage: MemoryUsage;
    swap: MemoryUsage;
    kernel: MemoryUsage;
    kernelTCP: MemoryUsage;
    raw: Record<string, Integer>;
    psi?: Pressure | undefined;
  };
  pids: { current: number; limit: number };
  blkio: {
    ioServiceBytesRecursive: BlkioEntry[];
    ioServicedRecursive: BlkioEntry[];
    ioQueueRecursive?: BlkioEntry[] | undefined;
    ioServiceTimeRecursive?: BlkioEntry[] | undefined;
    ioWaitTimeRecursive?: BlkioEntry[] | undefined;
    ioMergedRecursive?: BlkioEntry[] | undefined;
    ioTimeRecursive?: BlkioEntry[] | undefined;
    sectorsRecursive?: BlkioEntry[] | undefined;
    psi?: Pressure | undefined;
  };
  hugetlb: Record<string, { usage: Integer; max: Integer; failcnt: Integer }>;
  /** Empty for containers without /linux/intelRdt. */
  intel_rdt: RdtStats;
  /** Always null, as with runc, whose readers look for the field. */
  network_interfaces: null;
}
