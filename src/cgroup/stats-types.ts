interface MemoryUsage {
  limit: number;
  usage: number;
  max: number;
  failcnt: number;
}

export interface BlkioEntry {
  major: number;
  minor: number;
  op: string;
  value: number;
}

/** The numbers of `events --stats`, with the names that runc's JSON gives them. Times are nanoseconds. */
export interface CgroupStats {
  cpu: {
    usage: { total: number; percpu?: number[]; kernel: number; user: number };
    throttling: { periods: number; throttledPeriods: number; throttledTime: number };
  };
  cpuset: { cpus: string; mems: string };
  memory: {
    cache: number;
    usage: MemoryUsage;
    swap: MemoryUsage;
    kernel: MemoryUsage;
    kernelTCP: MemoryUsage;
    raw: Record<string, number>;
  };
  pids: { current: number; limit: number };
  blkio: { ioServiceBytesRecursive: BlkioEntry[]; ioServicedRecursive: BlkioEntry[] };
  hugetlb: Record<string, { usage: number; max: number; failcnt: number }>;
}
