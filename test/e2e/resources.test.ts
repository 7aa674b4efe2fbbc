// @cgroup-v2
// Each field of linux.resources: the kernel shows its effect, and a value that it refuses is named by its field.
import { describe, expect } from "bun:test";
import { readFileSync } from "node:fs";
import { readLayout } from "../../src/cgroup";
import { diskNumbers, fileNeeded, placeOf } from "./controllers";
import { Box, e2e, expectUnchanged, hostSnapshot, type Needs, needsHako, SLEEP } from "./support";

const MIB = 1024 * 1024;
const UNLIMITED = "9223372036854771712";

const disk = diskNumbers();
const device = disk ?? { major: 0, minor: 0 };
const number = `${device.major}:${device.minor}`;

interface Effect {
  field: string;
  controller: string;
  resources: object;
  /** A file of the container's cgroup and what is in it, on v1 and on v2; undefined if that version can't do it. */
  v1: [file: string, content: string | RegExp] | undefined;
  v2: [file: string, content: string | RegExp] | undefined;
  needs?: Needs;
}

const effect = (
  field: string,
  controller: string,
  resources: object,
  v1: Effect["v1"],
  v2: Effect["v2"],
  needs?: Needs,
): Effect => ({ field, controller, resources, v1, v2, needs });

const needsDisk: Needs = disk === undefined ? "this machine has no disk" : undefined;
const throttle = (name: string, rate: number) => ({ blockIO: { [name]: [{ ...device, rate }] } });
const memory = (fields: object) => ({ memory: { limit: 64 * MIB, ...fields } });

const EFFECTS: Effect[] = [
  effect(
    "memory/limit",
    "memory",
    memory({}),
    ["memory.limit_in_bytes", `${64 * MIB}`],
    ["memory.max", `${64 * MIB}`],
  ),
  effect(
    "memory/limit (-1)",
    "memory",
    { memory: { limit: -1 } },
    ["memory.limit_in_bytes", UNLIMITED],
    ["memory.max", "max"],
  ),
  effect(
    "memory/reservation",
    "memory",
    memory({ reservation: 32 * MIB }),
    ["memory.soft_limit_in_bytes", `${32 * MIB}`],
    ["memory.low", `${32 * MIB}`],
  ),
  effect(
    "memory/swap",
    "memory",
    memory({ swap: 96 * MIB }),
    ["memory.memsw.limit_in_bytes", `${96 * MIB}`],
    ["memory.swap.max", `${32 * MIB}`],
  ),
  effect("memory/swappiness", "memory", memory({ swappiness: 7 }), ["memory.swappiness", "7"], undefined),
  effect(
    "memory/disableOOMKiller",
    "memory",
    memory({ disableOOMKiller: true }),
    ["memory.oom_control", /^oom_kill_disable 1$/m],
    undefined,
  ),
  effect(
    "memory/useHierarchy",
    "memory",
    memory({ useHierarchy: true }),
    ["memory.use_hierarchy", "1"],
    ["memory.max", `${64 * MIB}`],
  ),
  effect("cpu/shares", "cpu", { cpu: { shares: 512 } }, ["cpu.shares", "512"], ["cpu.weight", "59"]),
  effect(
    "cpu/quota",
    "cpu",
    { cpu: { quota: 20_000, period: 50_000 } },
    ["cpu.cfs_quota_us", "20000"],
    ["cpu.max", "20000 50000"],
  ),
  effect(
    "cpu/period",
    "cpu",
    { cpu: { period: 50_000 } },
    ["cpu.cfs_period_us", "50000"],
    ["cpu.max", "max 50000"],
  ),
  effect(
    "cpu/burst",
    "cpu",
    { cpu: { quota: 20_000, burst: 10_000 } },
    ["cpu.cfs_burst_us", "10000"],
    ["cpu.max.burst", "10000"],
  ),
  effect("cpu/idle", "cpu", { cpu: { idle: 1 } }, ["cpu.idle", "1"], ["cpu.idle", "1"]),
  effect("cpu/cpus", "cpuset", { cpu: { cpus: "0" } }, ["cpuset.cpus", "0"], ["cpuset.cpus", "0"]),
  effect("cpu/mems", "cpuset", { cpu: { mems: "0" } }, ["cpuset.mems", "0"], ["cpuset.mems", "0"]),
  effect("pids/limit", "pids", { pids: { limit: 17 } }, ["pids.max", "17"], ["pids.max", "17"]),
  effect("pids/limit (-1)", "pids", { pids: { limit: -1 } }, ["pids.max", "max"], ["pids.max", "max"]),
  effect(
    "blockIO/throttleReadBpsDevice",
    "blkio",
    throttle("throttleReadBpsDevice", 2 * MIB),
    ["blkio.throttle.read_bps_device", `${number} ${2 * MIB}`],
    ["io.max", new RegExp(`^${number} rbps=${2 * MIB} wbps=max`)],
    needsDisk,
  ),
  effect(
    "blockIO/throttleWriteBpsDevice",
    "blkio",
    throttle("throttleWriteBpsDevice", 3 * MIB),
    ["blkio.throttle.write_bps_device", `${number} ${3 * MIB}`],
    ["io.max", new RegExp(`wbps=${3 * MIB} `)],
    needsDisk,
  ),
  effect(
    "blockIO/throttleReadIOPSDevice",
    "blkio",
    throttle("throttleReadIOPSDevice", 400),
    ["blkio.throttle.read_iops_device", `${number} 400`],
    ["io.max", /riops=400 /],
    needsDisk,
  ),
  effect(
    "blockIO/throttleWriteIOPSDevice",
    "blkio",
    throttle("throttleWriteIOPSDevice", 500),
    ["blkio.throttle.write_iops_device", `${number} 500`],
    ["io.max", /wiops=500$/],
    needsDisk,
  ),
  effect(
    "blockIO/weight",
    "blkio",
    { blockIO: { weight: 500 } },
    ["blkio.bfq.weight", /500/],
    ["io.weight", /^default 4950$/],
  ),
  effect(
    "hugepageLimits",
    "hugetlb",
    { hugepageLimits: [{ pageSize: "2MB", limit: 4 * MIB }] },
    ["hugetlb.2MB.limit_in_bytes", `${4 * MIB}`],
    ["hugetlb.2MB.max", `${4 * MIB}`],
  ),
  effect(
    "hugepageLimits (reservation)",
    "hugetlb",
    { hugepageLimits: [{ pageSize: "2MB", limit: 4 * MIB }] },
    ["hugetlb.2MB.rsvd.limit_in_bytes", `${4 * MIB}`],
    ["hugetlb.2MB.rsvd.max", `${4 * MIB}`],
  ),
  effect(
    "network/classID",
    "net_cls",
    { network: { classID: 0x100001 } },
    ["net_cls.classid", `${0x100001}`],
    undefined,
  ),
  effect(
    "network/priorities",
    "net_prio",
    { network: { priorities: [{ name: "lo", priority: 5 }] } },
    ["net_prio.ifpriomap", /^lo 5$/m],
    undefined,
  ),
  effect("unified", "memory", { unified: { "memory.high": "33554432" } }, undefined, [
    "memory.high",
    "33554432",
  ]),
];

/** The directory of a container's cgroup that a controller's files are in, as hako shows it. */
function directoryOf(box: Box, id: string, controller: string): string | undefined {
  const shown = JSON.parse(box.ok("cgroup", "show", id, "--format", "json").stdout) as {
    paths: Record<string, string>;
  };
  return shown.paths[controller] ?? shown.paths[""];
}

describe("the kernel shows @v2", () => {
  for (const { field, controller, resources, v1, v2, needs } of EFFECTS) {
    const place = placeOf(controller);
    const expected = place === "v1" ? v1 : place === "v2" ? v2 : undefined;
    const there: Needs = place === undefined ? `this host has no ${controller} controller` : undefined;
    if (place !== undefined && expected === undefined) {
      e2e(`/linux/resources/${field} can't be had on ${place}: refused by name`, async () => {
        using box = new Box();
        const before = hostSnapshot(box.root);
        const bundle = box.bundle(["true"], (config) => Object.assign(config.linux.resources, resources));
        const { status, stderr } = box.hako("create", "--bundle", bundle, box.id());
        expect(status).toBe(1);
        expect(stderr).toMatch(/^hako: [^\n]*\n$/);
        expect(stderr).toContain(`/linux/resources/${field.split(" ")[0]}`);
        await expectUnchanged(before, box.root);
      }, [needsHako]);
      continue;
    }
    const file = expected?.[0] ?? "";
    e2e(`/linux/resources/${field}: ${file}`, () => {
      using box = new Box();
      const id = box.id();
      const bundle = box.bundle(["true"], (config) => Object.assign(config.linux.resources, resources));
      box.ok("create", "--bundle", bundle, id);
      const content = readFileSync(`${directoryOf(box, id, controller)}/${file}`, "utf8").trim();
      const wanted = expected?.[1] ?? "";
      if (typeof wanted === "string") expect(content).toBe(wanted);
      else expect(content).toMatch(wanted);
    }, [needsHako, there, place === undefined ? undefined : fileNeeded(place, controller, file), needs]);
  }
});

describe("refused by the field's name, with nothing left @v2", () => {
  const rows: [field: string, controller: string, resources: object][] = [
    ["memory/swap", "memory", { memory: { limit: 64 * MIB, swap: 32 * MIB } }],
    ["memory/swappiness", "memory", { memory: { swappiness: 101 } }],
    ["cpu/quota", "cpu", { cpu: { quota: 5 } }],
    ["cpu/period", "cpu", { cpu: { period: 5 } }],
    ["cpu/idle", "cpu", { cpu: { idle: 2 } }],
    ["cpu/cpus", "cpuset", { cpu: { cpus: "4000" } }],
    ["cpu/mems", "cpuset", { cpu: { mems: "900" } }],
    ["blockIO/weight", "blkio", { blockIO: { weight: 9 } }],
    ["blockIO/leafWeight", "blkio", { blockIO: { leafWeight: 1001 } }],
    [
      "blockIO/weightDevice/0/weight",
      "blkio",
      { blockIO: { weightDevice: [{ major: 1, minor: 1, weight: 5 }] } },
    ],
    [
      "blockIO/throttleReadBpsDevice/0",
      "blkio",
      { blockIO: { throttleReadBpsDevice: [{ major: 4000, minor: 7, rate: 1 }] } },
    ],
    ["hugepageLimits/0/pageSize", "hugetlb", { hugepageLimits: [{ pageSize: "7MB", limit: 1 }] }],
    ["unified/memory~1high", "memory", { unified: { "memory/high": "1" } }],
    ["unified/cgroup.procs", "memory", { unified: { "cgroup.procs": "1" } }],
    ["unified/cgroup.freeze", "memory", { unified: { "cgroup.freeze": "1" } }],
    ["rdma/none", "rdma", { rdma: { none: { hcaHandles: 1 } } }],
    ["devices/0", "devices", { devices: [{ allow: true, type: "q", access: "rwm" }] }],
  ];
  for (const [field, controller, resources] of rows) {
    const everywhere = controller === "devices" || controller === "rdma" || placeOf(controller) !== undefined;
    e2e(`/linux/resources/${field}`, async () => {
      using box = new Box();
      const before = hostSnapshot(box.root);
      const bundle = box.bundle(["true"], (config) => Object.assign(config.linux.resources, resources));
      const { status, stderr } = box.hako("create", "--bundle", bundle, box.id());
      expect(status).toBe(1);
      expect(stderr).toMatch(/^hako: [^\n]*\n$/);
      expect(stderr).toContain(`/linux/resources/${field.split("/")[0] === "rdma" ? "rdma" : field}`);
      await expectUnchanged(before, box.root);
    }, [needsHako, everywhere ? undefined : `this host has no ${controller} controller`]);
  }
});

describe("unified @v2", () => {
  const NO_LIMITS = ["procs", "threads", "kill", "freeze", "type", "subtree_control"];

  e2e("moves no process of the host's, and has the files of controllers only", async () => {
    using box = new Box();
    const id = box.started();
    const sleeper = Bun.spawn(SLEEP);
    const cgroups = () => readFileSync(`/proc/${sleeper.pid}/cgroup`, "utf8");
    const before = cgroups();
    try {
      for (const name of NO_LIMITS) {
        const input = JSON.stringify({ unified: { [`cgroup.${name}`]: String(sleeper.pid) } });
        const { status, stderr } = box.hakoWith({ input }, "update", "--resources", "-", id);
        expect([name, status]).toEqual([name, 1]);
        expect(stderr).toMatch(/^hako: [^\n]*\n$/);
        expect(stderr).toContain(`/unified/cgroup.${name}: "cgroup.${name}" is no controller's`);
      }
      expect(cgroups()).toBe(before);
      expect(box.state(id).status).toBe("running");
    } finally {
      sleeper.kill("SIGKILL");
      await sleeper.exited;
    }
  }, [needsHako]);

  const unified = readLayout().hierarchies.find((hierarchy) => hierarchy.unified);
  e2e("may bound what is below the container's cgroup", () => {
    using box = new Box();
    const bundle = box.bundle(SLEEP, ({ linux }) => {
      Object.assign(linux.resources, { unified: { "cgroup.max.depth": "3" } });
    });
    const id = box.id();
    box.ok("create", "--bundle", bundle, id);
    expect(readFileSync(`${directoryOf(box, id, "")}/cgroup.max.depth`, "utf8")).toBe("3\n");
  }, [needsHako, unified === undefined ? "cgroup v2 is not mounted" : undefined]);
});
