// What a guest says of what its container uses.
import { describe, expect, test } from "bun:test";
import { toldStats } from "../../src/drivers/vm/channel/stats-schema";

const usage = { limit: 1, usage: 2n ** 60n, max: 3, failcnt: 0 };
const flags = {
  cpu_exclusive: 0,
  mem_hardwall: 0,
  mem_exclusive: 0,
  memory_migrate: 0,
  memory_spread_page: 0,
};
const STATS = {
  cpu: {
    usage: { total: 1, kernel: 1, user: 0 },
    throttling: { periods: 0, throttledPeriods: 0, throttledTime: 0 },
  },
  cpuset: {
    cpus: [0],
    mems: [],
    ...flags,
    memory_spread_slab: 0,
    memory_pressure: 0,
    sched_load_balance: 0,
    sched_relax_domain_level: 0,
  },
  memory: { cache: 0, usage, swap: usage, kernel: usage, kernelTCP: usage, raw: { anon: 5 } },
  pids: { current: 1, limit: 0 },
  blkio: { ioServiceBytesRecursive: [{ major: 1, minor: 2, op: "Read", value: 3 }], ioServicedRecursive: [] },
  hugetlb: { "2MB": { usage: 0, max: 0, failcnt: 0 } },
};

describe("figures of a guest's", () => {
  test("are taken as they are, and nothing beside them", () => {
    const told = { ...STATS, intel_rdt: { evil: 1 }, more: 1 };
    expect(toldStats(told)).toEqual({ ...STATS, intel_rdt: {}, network_interfaces: null } as never);
  });

  test("that are no figures are none", () => {
    const raw = Object.fromEntries(Array.from({ length: 2000 }, (_, index) => [`a${index}`, 1]));
    for (const wrong of [
      undefined,
      null,
      [],
      {},
      { ...STATS, pids: { current: "1", limit: 0 } },
      { ...STATS, pids: { current: Number.NaN, limit: 0 } },
      { ...STATS, memory: { ...STATS.memory, raw } },
      { ...STATS, memory: { ...STATS.memory, raw: { "\u001b[2J": 1 } } },
      {
        ...STATS,
        blkio: {
          ...STATS.blkio,
          ioServicedRecursive: [{ major: 1, minor: 1, op: "x".repeat(65), value: 1 }],
        },
      },
    ])
      expect(toldStats(wrong)).toBeUndefined();
  });
});
