import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type AccessRule, accessRule } from "../../src/cgroup/controllers/device-rules";
import { allowList, deviceProperties } from "../../src/cgroup/systemd/device-properties";
import {
  type Circumstances,
  resourceProperties,
  roundedQuota,
  withRoundedQuota,
} from "../../src/cgroup/systemd/properties";
import { startProperties } from "../../src/cgroup/systemd/start-properties";
import type { DeviceRule, Resources } from "../../src/oci/config";

const INFINITY = 2n ** 64n - 1n;

describe("limits as properties", () => {
  const NOW: Circumstances = { version: "v2", systemd: 252, quota: -1n, period: 100_000n, idle: false };
  const properties = (resources: Resources, now: Partial<Circumstances> = {}) =>
    Object.fromEntries(
      resourceProperties(resources, { ...NOW, ...now }).map(([name, { value }]) => [name, value]),
    );

  test("of cgroup v2", () => {
    expect(
      properties({
        memory: { limit: 1000, reservation: 500, swap: 1500 },
        cpu: { shares: 1024, quota: 50_000, period: 100_000, cpus: "0,2-3,9", mems: "1" },
        pids: { limit: 7 },
        blockIO: { weight: 1000 },
      }),
    ).toEqual({
      MemoryMax: 1000n,
      MemoryLow: 500n,
      MemorySwapMax: 500n,
      CPUWeight: 100n,
      CPUQuotaPeriodUSec: 100_000n,
      CPUQuotaPerSecUSec: 500_000n,
      AllowedCPUs: new Uint8Array([0b1101, 0b10]),
      AllowedMemoryNodes: new Uint8Array([0b10]),
      TasksMax: 7n,
      IOWeight: 10_000n,
    });
  });

  test("of cgroup v1", () => {
    const resources = {
      memory: { limit: 1000, reservation: 500, swap: 1500 },
      cpu: { shares: 1024, quota: 50_000 },
      blockIO: { weight: 500 },
      pids: { limit: -1 },
    };
    expect(properties(resources, { version: "hybrid" })).toEqual({
      MemoryLimit: 1000n,
      CPUShares: 1024n,
      CPUQuotaPeriodUSec: 100_000n,
      CPUQuotaPerSecUSec: 500_000n,
      BlockIOWeight: 500n,
      TasksMax: INFINITY,
    });
  });

  test("nothing, and zeros of docker's, are nothing", () => {
    expect(properties({})).toEqual({});
    expect(
      properties({
        memory: { limit: 0, reservation: 0, kernel: 0 },
        cpu: { shares: 0, quota: 0, period: 0 },
        pids: { limit: 0 },
        blockIO: { weight: 0 },
      }),
    ).toEqual({});
  });

  test("no limit, and what systemd has no number for", () => {
    expect(properties({ memory: { limit: -1 }, cpu: { quota: -1 } })).toEqual({
      MemoryMax: INFINITY,
      MemorySwapMax: INFINITY,
      CPUQuotaPeriodUSec: 100_000n,
      CPUQuotaPerSecUSec: INFINITY,
    });
  });

  test("a period alone keeps the quota, a quota alone the period", () => {
    const now = { quota: 20_000n, period: 50_000n };
    expect(properties({ cpu: { period: 100_000 } }, now)).toEqual({
      CPUQuotaPeriodUSec: 100_000n,
      CPUQuotaPerSecUSec: 200_000n,
    });
    expect(properties({ cpu: { quota: 10_000 } }, now)).toEqual({
      CPUQuotaPeriodUSec: 50_000n,
      CPUQuotaPerSecUSec: 200_000n,
    });
  });

  test("older versions of systemd get what they know", () => {
    const resources = { cpu: { quota: 1000, period: 10_000, cpus: "0", idle: 1 } };
    expect(Object.keys(properties(resources, { systemd: 240 }))).toEqual(["CPUQuotaPerSecUSec"]);
    expect(properties({ unified: { "memory.zswap.max": "5" } }, { systemd: 252 })).toEqual({});
    expect(properties({ unified: { "memory.zswap.max": "5" } }, { systemd: 253 })).toEqual({
      MemoryZSwapMax: 5n,
    });
  });

  test("cpu.idle is a weight of 0, and its end the default", () => {
    expect(properties({ cpu: { idle: 1, shares: 1024 } })).toEqual({ CPUWeight: 0n });
    expect(properties({ cpu: { idle: 0 } })).toEqual({});
    expect(properties({ cpu: { idle: 0 } }, { idle: true })).toEqual({ CPUWeight: 100n });
    expect(properties({ cpu: { idle: 0, shares: 512 } }, { idle: true })).toEqual({ CPUWeight: 59n });
  });

  test("unified: files that systemd has properties for; they have the last word", () => {
    expect(
      properties({
        unified: {
          "cpu.max": "20000 50000",
          "cpu.weight": "7",
          "cpuset.cpus": "1",
          "memory.high": "max",
          "memory.min": " 5 ",
          "memory.max": "9",
          "memory.oom.group": "1",
          "pids.max": "0",
          "io.max": "8:0 rbps=1",
        },
        memory: { limit: 10 },
      }),
    ).toEqual({
      CPUQuotaPeriodUSec: 50_000n,
      CPUQuotaPerSecUSec: 400_000n,
      CPUWeight: 7n,
      AllowedCPUs: new Uint8Array([2]),
      MemoryHigh: INFINITY,
      MemoryMin: 5n,
      MemoryMax: 9n,
      TasksMax: 1n,
    });
    expect(properties({ unified: { "cpu.idle": "1", "cpu.weight": "7" } })).toEqual({ CPUWeight: 0n });
    expect(properties({ unified: { "cpu.max": "max" } })).toEqual({
      CPUQuotaPeriodUSec: 100_000n,
      CPUQuotaPerSecUSec: INFINITY,
    });
  });

  test("a quota is rounded up to a whole percent of a processor, in the file too", () => {
    expect(roundedQuota(50_000n, 100_000n)).toEqual({ perSecond: 500_000n, quota: 50_000n });
    expect(roundedQuota(12_345n, 100_000n)).toEqual({ perSecond: 130_000n, quota: 13_000n });
    expect(roundedQuota(-1n, 100_000n)).toEqual({ perSecond: INFINITY, quota: -1n });
    expect(withRoundedQuota({ cpu: { quota: 12_345 } }, NOW).cpu?.quota).toBe(13_000n);
    expect(withRoundedQuota({ cpu: { shares: 5 } }, NOW)).toEqual({ cpu: { shares: 5 } });
  });
});

describe("device rules for systemd", () => {
  const rules = (list: readonly DeviceRule[]): AccessRule[] => list.map(accessRule);
  const DENY_ALL = { allow: false, access: "rwm" };
  const char = (allow: boolean, major?: number, minor?: number, access = "rwm"): DeviceRule => ({
    allow,
    type: "c",
    major,
    minor,
    access,
  });
  const properties = (list: readonly DeviceRule[], version: "v1" | "v2" = "v2", systemd = 252) =>
    deviceProperties(rules(list), version, systemd).map(([name, { value }]) => [name, value] as const);
  const last = (list: readonly DeviceRule[], version?: "v1" | "v2") => properties(list, version).at(-1);

  test("the usual rules are a strict list, with the default devices", () => {
    const [clear, policy, allow] = properties([DENY_ALL, char(true, 10, 200, "rw"), char(true, 4)]);
    expect(clear).toEqual(["DeviceAllow", []]);
    expect(policy).toEqual(["DevicePolicy", "strict"]);
    const list = allow?.[1] as unknown as [string, string][];
    expect(list.slice(0, 2)).toEqual([
      ["/dev/char/10:200", "rw"],
      ["char-4", "rwm"],
    ]);
    for (const each of [
      ["char-*", "m"],
      ["/dev/char/1:3", "rwm"],
      ["char-136", "rwm"],
    ])
      expect(list).toContainEqual(each as never);
  });

  test("everything is no policy at all on v2, and on v1 a list that keeps the container in its own cgroup", () => {
    const everything: DeviceRule[] = [DENY_ALL, { allow: true, access: "rwm" }];
    expect(properties(everything)).toEqual([
      ["DeviceAllow", []],
      ["DevicePolicy", "auto"],
    ]);
    expect(properties(everything, "v1").slice(1)).toEqual([
      ["DevicePolicy", "strict"],
      [
        "DeviceAllow",
        [
          ["char-*", "rwm"],
          ["block-*", "rwm"],
        ],
      ],
    ]);
  });

  test("what systemd can't say: ours alone on v2, less than was asked for on v1", () => {
    const holes: DeviceRule[][] = [
      [{ allow: true, access: "rwm" }, char(false, 1, 11)],
      [DENY_ALL, char(true, 1), char(false, 1, 11)],
      [DENY_ALL, char(true, undefined, 5)],
    ];
    for (const list of holes) expect(last(list)).toEqual(["DevicePolicy", "auto"]);
    for (const list of holes) expect(properties(list, "v1")[1]).toEqual(["DevicePolicy", "strict"]);
    // old versions look for the device in /dev
    expect(properties([DENY_ALL], "v2", 239).at(-1)).toEqual(["DevicePolicy", "auto"]);
  });

  test("a denial takes away what was allowed before", () => {
    expect(allowList(rules([char(true, 1, 5), char(false, 1, undefined, "w")]))).toEqual([
      { type: "c", major: 1n, minor: 5n, access: "rm" },
    ]);
    expect(allowList(rules([char(true, 1, 5), { allow: false, type: "a", access: "rwm" }]))).toEqual([]);
    expect(allowList(rules([char(true, 1, 5), char(false, 2)]))).toHaveLength(1);
  });

  test("a list allows exactly what the rules do", () => {
    const number = fc.constantFrom(undefined, 1, 2);
    const rule = fc.record({
      allow: fc.boolean(),
      type: fc.constantFrom("a", "b", "c"),
      major: number,
      minor: number,
      access: fc.constantFrom("r", "w", "rw", "rwm"),
    });
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 5 }), (list) => {
        const parsed = rules(list);
        const allowed = allowList(parsed);
        if (allowed === undefined) return;
        for (const type of ["b", "c"] as const) {
          for (const major of [1n, 2n, 3n]) {
            for (const minor of [1n, 2n, 3n]) {
              for (const letter of "rwm") {
                const fits = (each: Omit<AccessRule, "allow">) =>
                  (each.type === "a" || each.type === type) &&
                  (each.major === undefined || each.major === major) &&
                  (each.minor === undefined || each.minor === minor) &&
                  each.access.includes(letter);
                const byRules = parsed.findLast(fits)?.allow ?? false;
                expect(allowed === "everything" || allowed.some(fits)).toBe(byRules);
              }
            }
          }
        }
      }),
    );
  });
});

describe("what a scope is started with", () => {
  const start = (more: Partial<Parameters<typeof startProperties>[0]>) =>
    Object.fromEntries(
      startProperties({
        id: "web",
        slice: "a.slice",
        version: "v2",
        systemd: 252,
        oomGroup: undefined,
        annotated: [],
        ...more,
      }).map(([name, { value }]) => [name, value]),
    );

  test("as by runc", () => {
    expect(start({})).toEqual({
      Description: "hako container web",
      Slice: "a.slice",
      Delegate: true,
      MemoryAccounting: true,
      CPUAccounting: true,
      IOAccounting: true,
      TasksAccounting: true,
      DefaultDependencies: false,
    });
    expect(start({ version: "v1" })).toMatchObject({ BlockIOAccounting: true });
  });

  test("annotations have the last word; a policy for memory's end where scopes have one", () => {
    expect(start({ annotated: [["Description", { signature: "s", value: "x" }]] }).Description).toBe("x");
    expect(start({ oomGroup: "1" }).OOMPolicy).toBe(undefined);
    expect(start({ oomGroup: "1", systemd: 253 }).OOMPolicy).toBe("kill");
    expect(start({ oomGroup: "0", systemd: 253 }).OOMPolicy).toBe("continue");
  });
});
