import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { HakoError } from "../../src/base/errors";
import { type Cgroup, openCgroup, parseLayout } from "../../src/cgroup";
import { blkioToIoWeight } from "../../src/cgroup/controllers/block-io";
import { sharesToWeight } from "../../src/cgroup/controllers/cpu";
import { swapAlone } from "../../src/cgroup/controllers/memory";
import { loadCgroup } from "../../src/cgroup/group/stored";
import { ioStat } from "../../src/cgroup/stats/stats-block-io";
import { isRootless } from "../../src/linux/process/rootless";
import type { Resources } from "../../src/oci/config";
import { exactJson } from "../../src/oci/json";

let root = "";
beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/hako-test-cgroup-`);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** A host whose hierarchies are plain directories, with a container's directory and its files in each. */
function fakeV1(files: Record<string, Record<string, string>>): Cgroup {
  const lines = Object.entries(files).map(([controller, contents]) => {
    mkdirSync(`${root}/${controller}/box`, { recursive: true });
    for (const [name, text] of Object.entries({ "cgroup.procs": "", ...contents })) {
      writeFileSync(`${root}/${controller}/box/${name}`, text);
    }
    return `1 1 0:1 / ${root}/${controller} rw - cgroup cgroup rw,${controller}`;
  });
  return openCgroup("/box", "box", parseLayout(lines.join("\n"), ""));
}

function fakeV2(controllers: string, files: Record<string, string>): Cgroup {
  mkdirSync(`${root}/box`, { recursive: true });
  writeFileSync(`${root}/cgroup.controllers`, controllers);
  writeFileSync(`${root}/cgroup.subtree_control`, "");
  const all = { "cgroup.procs": "", "cgroup.controllers": controllers, ...files };
  for (const [name, text] of Object.entries(all)) writeFileSync(`${root}/box/${name}`, text);
  return openCgroup("/box", "box", parseLayout(`1 1 0:1 / ${root} rw - cgroup2 cgroup2 rw`, "0::/"));
}

const read = (path: string) => readFileSync(`${root}/${path}`, "utf8");

/** Applies limits without device rules, as `update` does. */
function apply(cgroup: Cgroup, resources: Resources): void {
  loadCgroup({ ...cgroup.record, devices: true }).apply(resources);
}

function errorOf(action: () => void): HakoError {
  try {
    action();
  } catch (thrown) {
    if (thrown instanceof HakoError) return thrown;
    throw thrown;
  }
  throw new Error("nothing was thrown");
}

describe("numbers", () => {
  test.each([
    [0, 0],
    [1, 1],
    [2, 1],
    [1024, 100],
    [262_144, 10_000],
    [300_000, 10_000],
  ])("%d shares are a weight of %d", (shares, weight) => {
    expect(sharesToWeight(shares)).toBe(weight);
    expect(sharesToWeight(BigInt(shares))).toBe(weight);
  });

  test("weights grow with shares", () => {
    for (let shares = 2, last = 0; shares <= 262_144; shares *= 2) {
      const weight = sharesToWeight(shares);
      expect(weight).toBeGreaterThan(last);
      last = weight;
    }
  });

  test.each([
    [0, 0n],
    [10, 1n],
    [500, 4950n],
    [1000, 10_000n],
  ])("a blkio weight of %d is an io weight of %d", (weight, expected) => {
    expect(blkioToIoWeight(weight)).toBe(expected);
  });

  test("swap alone", () => {
    expect(swapAlone(100n, 300n)).toBe(200n);
    expect(swapAlone(100n, 100n)).toBe(0n);
    expect(swapAlone(100n, -1n)).toBe(-1n);
    expect(swapAlone(-1n, undefined)).toBe(-1n);
    expect(swapAlone(100n, undefined)).toBeUndefined();
    expect(swapAlone(undefined, 5n)).toContain("without a memory limit");
    expect(swapAlone(100n, 5n)).toContain("less than the memory limit");
  });
});

describe("v1", () => {
  const memory = {
    "memory.limit_in_bytes": "",
    "memory.memsw.limit_in_bytes": "1000",
    "memory.soft_limit_in_bytes": "",
    "memory.oom_control": "",
  };

  test("memory; docker's zeros leave files alone", () => {
    const cgroup = fakeV1({ memory });
    apply(cgroup, { memory: { limit: 64n, swap: 128, reservation: 32, disableOOMKiller: true } });
    expect(read("memory/box/memory.limit_in_bytes")).toBe("64");
    expect(read("memory/box/memory.memsw.limit_in_bytes")).toBe("128");
    expect(read("memory/box/memory.soft_limit_in_bytes")).toBe("32");
    expect(read("memory/box/memory.oom_control")).toBe("1");
    apply(cgroup, { memory: { limit: 0, swap: 0, reservation: 0, disableOOMKiller: false } });
    expect(read("memory/box/memory.limit_in_bytes")).toBe("64");
  });

  test("no memory limit is no swap limit", () => {
    apply(fakeV1({ memory }), { memory: { limit: -1 } });
    expect(read("memory/box/memory.limit_in_bytes")).toBe("-1");
    expect(read("memory/box/memory.memsw.limit_in_bytes")).toBe("-1");
  });

  test("cpu, cpuset, pids, blkio, hugetlb", () => {
    const cgroup = fakeV1({
      cpu: {
        "cpu.shares": "",
        "cpu.cfs_quota_us": "",
        "cpu.cfs_period_us": "",
        "cpu.cfs_burst_us": "",
        "cpu.idle": "0",
      },
      cpuset: { "cpuset.cpus": "0-3", "cpuset.mems": "0" },
      pids: { "pids.max": "" },
      blkio: { "blkio.bfq.weight": "", "blkio.throttle.read_bps_device": "" },
      hugetlb: { "hugetlb.2MB.limit_in_bytes": "", "hugetlb.2MB.rsvd.limit_in_bytes": "" },
    });
    apply(cgroup, {
      cpu: { shares: 512, quota: 5000n, period: 10_000, burst: 100, idle: 1, cpus: "0-1", mems: "0" },
      pids: { limit: 9 },
      blockIO: { weight: 500, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1024 }] },
      hugepageLimits: [{ pageSize: "2MB", limit: 2n ** 40n }],
    });
    const files = {
      "cpu/box/cpu.shares": "512",
      "cpu/box/cpu.cfs_quota_us": "5000",
      "cpu/box/cpu.cfs_period_us": "10000",
      "cpu/box/cpu.cfs_burst_us": "100",
      "cpu/box/cpu.idle": "1",
      "cpuset/box/cpuset.cpus": "0-1",
      "pids/box/pids.max": "9",
      "blkio/box/blkio.bfq.weight": "500",
      "blkio/box/blkio.throttle.read_bps_device": "8:0 1024",
      "hugetlb/box/hugetlb.2MB.limit_in_bytes": String(2n ** 40n),
      "hugetlb/box/hugetlb.2MB.rsvd.limit_in_bytes": String(2n ** 40n),
    };
    for (const [file, value] of Object.entries(files)) expect(read(file)).toBe(value);
    apply(cgroup, { pids: { limit: 0 } });
    expect(read("pids/box/pids.max")).toBe("9");
    apply(cgroup, { pids: { limit: -1 }, cpu: { realtimePeriod: 0, realtimeRuntime: 0, cpus: "" } });
    expect(read("pids/box/pids.max")).toBe("max");
  });

  test("a limit without its controller names the field", () => {
    const cgroup = fakeV1({ cpu: {} });
    const rows: [Resources, string][] = [
      [{ memory: { limit: 1 } }, "/linux/resources/memory/limit: no memory controller"],
      [{ pids: { limit: 5 } }, "/linux/resources/pids/limit: no pids controller"],
      [{ cpu: { mems: "0" } }, "/linux/resources/cpu/mems: no cpuset controller"],
      [{ blockIO: { weight: 10 } }, "/linux/resources/blockIO/weight: no blkio controller"],
      [{ hugepageLimits: [{ pageSize: "2MB", limit: 1 }] }, "/linux/resources/hugepageLimits/0: no hugetlb"],
      [{ unified: { "memory.high": "1" } }, "/linux/resources/unified/memory.high: no cgroup v2 hierarchy"],
      [{ cpu: { realtimeRuntime: 5 } }, "/linux/resources/cpu/realtimeRuntime"],
    ];
    for (const [resources, text] of rows) {
      const error = errorOf(() => apply(cgroup, resources));
      expect(error.oneLine).toContain(text);
      expect(error.oneLine).not.toContain("\n");
    }
    apply(cgroup, {
      memory: { limit: 0, disableOOMKiller: false },
      pids: { limit: -1 },
      blockIO: { weight: 0 },
    });
  });

  const asRoot = isRootless() ? test.skip : test;
  const skipped = isRootless() ? " (skipped: they are root's to set)" : "";
  asRoot(`device rules in their order, then the default devices${skipped}`, () => {
    const cgroup = fakeV1({ devices: { "devices.allow": "", "devices.deny": "" } });
    cgroup.apply({
      devices: [
        { allow: false, access: "rwm" },
        { allow: true, type: "c", major: 10, minor: 229, access: "rw" },
      ],
    });
    expect(read("devices/box/devices.deny")).toBe("a");
    // a rule for each write, one behind the other in a plain file
    const rules = ["c 10:229 rw", "c *:* m", "b *:* m"];
    const devices = ["1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2", "10:200", "136:*"];
    expect(read("devices/box/devices.allow")).toBe(
      [...rules, ...devices.map((device) => `c ${device} rwm`)].join(""),
    );
    expect(cgroup.record.devices).toBe(true);
  });

  asRoot(`device rules that v1 can't express, and wrong ones${skipped}`, () => {
    const cgroup = fakeV1({ devices: { "devices.allow": "", "devices.deny": "" } });
    const hole: Resources["devices"] = [
      { allow: false, access: "rwm" },
      { allow: true, type: "c", access: "rwm" },
      { allow: false, type: "c", major: 1, minor: 11, access: "rwm" },
    ];
    expect(errorOf(() => cgroup.apply({ devices: hole })).oneLine).toContain(
      '/devices/2: cgroup v1 cannot express "c 1:11 rwm"',
    );
  });
});

describe("v2", () => {
  test("each limit has its file", () => {
    const cgroup = fakeV2("cpuset cpu io memory hugetlb pids", {
      "memory.max": "",
      "memory.swap.max": "",
      "memory.low": "",
      "memory.high": "",
      "cpu.weight": "",
      "cpu.max": "max 100000",
      "cpu.max.burst": "",
      "cpuset.cpus": "",
      "pids.max": "",
      "io.weight": "",
      "io.max": "",
      "hugetlb.2MB.max": "",
    });
    apply(cgroup, {
      memory: { limit: 64, swap: 128, reservation: 32 },
      cpu: { shares: 1024, quota: 5000, cpus: "0", burst: 0 },
      pids: { limit: 7 },
      blockIO: { weight: 1000, throttleWriteIOPSDevice: [{ major: 8, minor: 16, rate: 9 }] },
      hugepageLimits: [{ pageSize: "2MB", limit: 0 }],
      unified: { "memory.high": "60", "pids.max": "5" },
    });
    const files = {
      "memory.max": "64",
      "memory.swap.max": "64",
      "memory.low": "32",
      "memory.high": "60",
      "cpu.weight": "100",
      "cpu.max": "5000 100000",
      "cpu.max.burst": "0",
      "cpuset.cpus": "0",
      "pids.max": "5",
      "io.weight": "default 10000",
      "io.max": "8:16 wiops=9",
      "hugetlb.2MB.max": "0",
    };
    for (const [file, value] of Object.entries(files)) expect(read(`box/${file}`)).toBe(value);
    apply(cgroup, { cpu: { period: 50_000 } });
    expect(read("box/cpu.max")).toBe("5000 50000");
    apply(cgroup, { cpu: { quota: -1 } });
    expect(read("box/cpu.max")).toBe("max 50000");
  });

  test("what v2 can't do is refused", () => {
    const cgroup = fakeV2("cpu memory", {});
    const rows: [Resources, string][] = [
      [{ memory: { disableOOMKiller: true } }, "/memory/disableOOMKiller: cgroup v2 cannot do it"],
      [{ memory: { swappiness: 5 } }, "/memory/swappiness: cgroup v2 cannot do it"],
      [{ memory: { swap: 5 } }, "/memory/swap: is set without a memory limit"],
      [{ cpu: { realtimePeriod: 5 } }, "/cpu/realtimePeriod: cgroup v2 cannot do it"],
      [{ pids: { limit: 5 } }, "/pids/limit: no pids controller"],
      [{ unified: { "memory.nothing": "1" } }, "/unified/memory.nothing"],
    ];
    for (const [resources, text] of rows) {
      expect(errorOf(() => apply(cgroup, resources)).oneLine).toContain(text);
    }
  });

  test("statistics of v1, exact whatever their size", () => {
    const cgroup = fakeV1({
      memory: {
        "memory.limit_in_bytes": "9223372036854771712\n",
        "memory.stat": "cache 1\nhierarchical_memory_limit 9223372036854771712\n",
      },
      cpuacct: {
        "cpuacct.usage": "9007199254740993\n",
        "cpuacct.usage_percpu": "5 6 \n",
        "cpuacct.usage_all": "cpu user system\n0 1 2\n1 3 4\n",
        "cpuacct.stat": "user 1\nsystem 2\n",
      },
      cpuset: {
        "cpuset.effective_cpus": "0-2,5\n",
        "cpuset.mems": "0\n",
        "cpuset.sched_load_balance": "1\n",
        "cpuset.sched_relax_domain_level": "-1\n",
      },
      blkio: {
        "blkio.bfq.io_service_bytes_recursive": "Total 0\n",
        "blkio.throttle.io_service_bytes": "8:0 Read 4096\n8:0 Total 4096\nTotal 4096\n",
        "blkio.bfq.sectors_recursive": "8:16 7\n",
      },
    });
    const text = exactJson(cgroup.stats());
    for (const part of [
      '"usage":{"limit":9223372036854771712,',
      '"raw":{"cache":1,"hierarchical_memory_limit":9223372036854771712}',
      '"usage":{"total":9007199254740993,"percpu":[5,6],"percpu_kernel":[2,4],"percpu_user":[1,3],"kernel":20000000,"user":10000000}',
      '"cpuset":{"cpus":[0,1,2,5],"cpu_exclusive":0,"mems":[0],"mem_hardwall":0,',
      '"sched_load_balance":1,"sched_relax_domain_level":-1}',
      '"ioServiceBytesRecursive":[{"major":8,"minor":0,"op":"Read","value":4096},{"major":8,"minor":0,"op":"Total","value":4096}]',
      '"sectorsRecursive":[{"major":8,"minor":16,"value":7}]}',
      '"intel_rdt":{},"network_interfaces":null}',
    ])
      expect(text).toContain(part);
    expect(text).not.toContain("psi");
  });

  test("statistics", () => {
    const cgroup = fakeV2("cpu memory pids", {
      "cpu.pressure": "some avg10=1.50 avg60=0.20 avg300=0.00 total=9007199254740993\n",
      "cpu.stat": "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_throttled 1\n",
      "memory.current": "4096\n",
      "memory.max": "max\n",
      "memory.stat": "file 12\n",
      "pids.current": "2\n",
      "pids.max": "max\n",
    });
    const stats = cgroup.stats();
    expect(stats.cpu.usage).toEqual({ total: 5000, user: 3000, kernel: 2000 });
    expect(stats.memory.usage.usage).toBe(4096);
    expect(stats.memory.usage.limit).toBe(2n ** 64n - 1n);
    const none = { avg10: 0, avg60: 0, avg300: 0, total: 0 };
    const some = { avg10: 1.5, avg60: 0.2, avg300: 0, total: 9007199254740993n };
    expect(stats.cpu.psi).toEqual({ some, full: none });
    expect(stats.memory.psi).toBeUndefined();
    expect(stats.memory.cache).toBe(12);
    expect(stats.pids).toEqual({ current: 2, limit: 0 });
    expect(ioStat("8:0 rbytes=1 wbytes=2 rios=3 wios=4\n").ioServicedRecursive).toEqual([
      { major: 8, minor: 0, op: "Read", value: 3 },
      { major: 8, minor: 0, op: "Write", value: 4 },
    ]);
  });
});

describe("directories", () => {
  test("the record survives JSON; a directory that was there is not ours to remove", () => {
    const cgroup = fakeV1({ memory: {}, cpu: {} });
    cgroup.create();
    expect(cgroup.record.nodes.flatMap((node) => node.made)).toEqual([]);
    const loaded = loadCgroup(JSON.parse(JSON.stringify(cgroup.record)));
    loaded.join(4242);
    expect(read("memory/box/cgroup.procs")).toBe("4242");
    expect(loaded.pids()).toEqual([4242]);
    expect(loaded.paths).toEqual({ memory: `${root}/memory/box`, cpu: `${root}/cpu/box` });
    expect(loaded.mounts().hierarchies[0]).toEqual({
      mountpoint: `${root}/memory`,
      name: "memory",
      path: "/box",
    });
    loaded.destroy();
    expect(read("memory/box/cgroup.procs")).toBe("4242");
    expect(errorOf(() => fakeV1({ cpu: { "cgroup.procs": "1\n" } }).create()).oneLine).toContain("is in use");
  });

  test("the root cgroup is never killed", () => {
    const cgroup = openCgroup("/..", "x", parseLayout(`1 1 0:1 / ${root} rw - cgroup2 cgroup2 rw`, ""));
    writeFileSync(`${root}/cgroup.procs`, "1\n");
    expect(errorOf(() => cgroup.kill()).oneLine).toContain("root cgroup");
  });

  test("a host without cgroups: nothing is limited, nothing fails", () => {
    const cgroup = openCgroup(undefined, "x", parseLayout("", ""));
    cgroup.create();
    cgroup.apply({});
    cgroup.join(1);
    cgroup.kill();
    cgroup.destroy();
    expect(cgroup.pids()).toEqual([]);
    expect(errorOf(() => cgroup.apply({ memory: { limit: 1 } })).code).toBe("unsupported");
  });
});

describe("network and rdma", () => {
  test("class and priorities go to v1's files", () => {
    const cgroup = fakeV1({ net_cls: { "net_cls.classid": "0" }, net_prio: { "net_prio.ifpriomap": "" } });
    const network = { classID: 0x100001, priorities: [{ name: "eth0", priority: 5 }] };
    apply(cgroup, { network });
    expect(read("net_cls/box/net_cls.classid")).toBe("1048577");
    expect(read("net_prio/box/net_prio.ifpriomap")).toBe("eth0 5");
  });
  test("without the controllers the field is named", () => {
    const cgroup = fakeV2("memory", {});
    expect(errorOf(() => apply(cgroup, { network: { classID: 1 } })).message).toContain("/network/classID");
    expect(errorOf(() => apply(cgroup, { rdma: { mlx5_1: { hcaHandles: 1 } } })).message).toContain(
      "/rdma/mlx5_1",
    );
  });
  test("limits of rdma devices", () => {
    const cgroup = fakeV2("rdma", { "rdma.max": "" });
    apply(cgroup, { rdma: { mlx5_1: { hcaHandles: 3, hcaObjects: 10_000 } } });
    expect(read("box/rdma.max")).toBe("mlx5_1 hca_handle=3 hca_object=10000");
  });
});
