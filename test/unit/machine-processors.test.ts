// How much processor time the containers of a machine have together, and which threads of QEMU's that is for.
import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CgroupRecord } from "../../src/cgroup/hierarchy/record";
import { changedCpuLimit, mergedCpuLimit, processorsFor } from "../../src/drivers/vm/cpu-limits";
import { changedMember, memberOfConfig } from "../../src/drivers/vm/fit-machine";
import { limitProcessors } from "../../src/drivers/vm/processor-cgroup";
import { plugProcessors, processorThreads } from "../../src/drivers/vm/qemu/processors";
import type { Qmp } from "../../src/drivers/vm/qemu/qmp";
import { defaultConfig } from "../../src/oci/default";

const limit = (quota: number, period: number) => ({ quota, period });

describe("the limits of several containers", () => {
  test("are added in proportion to their periods, whole numbers all the way", () => {
    for (const [limits, merged] of [
      [[], undefined],
      [[limit(20_000, 100_000)], limit(20_000, 100_000)],
      [[limit(1000, 2000), limit(20_000, 100_000)], limit(1400, 2000)],
      [[limit(5000, 10_000), limit(40, 100)], limit(9000, 10_000)],
      [[limit(5000, 10_000), limit(10_000, 40_000)], limit(7500, 10_000)],
      [[limit(2 ** 52, 1_000_000), limit(2 ** 40, 1_000_000)], limit(2 ** 52 + 2 ** 40, 1_000_000)],
      // one that has none lifts that of all
      [[limit(1000, 2000), undefined], undefined],
      [[undefined, limit(1000, 2000)], undefined],
    ] as const)
      expect(mergedCpuLimit(limits)).toEqual(merged);
  });

  test("change field by field", () => {
    expect(changedCpuLimit(undefined, undefined)).toBeUndefined();
    expect(changedCpuLimit(undefined, { period: 50_000 })).toBeUndefined();
    expect(changedCpuLimit(undefined, { quota: 30_000 })).toEqual(limit(30_000, 100_000));
    expect(changedCpuLimit(limit(1000, 2000), { shares: 5 })).toEqual(limit(1000, 2000));
    expect(changedCpuLimit(limit(1000, 2000), { period: 4000 })).toEqual(limit(1000, 4000));
    expect(changedCpuLimit(limit(1000, 2000), { quota: -1 })).toBeUndefined();
  });

  test("take as many processors as that time needs", () => {
    expect([undefined, limit(1, 100), limit(100, 100), limit(250, 100)].map(processorsFor)).toEqual([
      0, 1, 1, 3,
    ]);
  });

  test("count memory of what has none as that of what may need some, and of one that only waits not at all", () => {
    const plain = defaultConfig({ rootless: false });
    const waiting = {
      ...plain,
      annotations: {
        "io.kubernetes.cri.container-type": "sandbox",
        "io.kubernetes.cri.sandbox-id": "pod",
      },
    };
    expect(memberOfConfig(plain)).toMatchObject({ memory: 512 << 20, waits: undefined, cpu: undefined });
    expect(memberOfConfig(waiting)).toMatchObject({ memory: 0, waits: true });
    const member = memberOfConfig(plain);
    expect(changedMember(member, { memory: { limit: 5 } }).memory).toBe(5);
    expect(changedMember({ ...member, memory: 5 }, { memory: { limit: -1 } }).memory).toBe(512 << 20);
    expect(changedMember({ ...member, memory: 5 }, {}).memory).toBe(5);
  });
});

/** A directory that looks like a cgroup; what is written replaces what was there. */
function inCgroup(
  unified: boolean,
  action: (record: CgroupRecord, read: (file: string) => string) => void,
): void {
  const mountpoint = mkdtempSync(join(tmpdir(), "hako-vcpu-"));
  try {
    mkdirSync(join(mountpoint, "c/vcpu"), { recursive: true });
    const files = {
      "c/cgroup.controllers": "cpu memory",
      ...Object.fromEntries(
        ["c/cgroup.subtree_control", "c/vcpu/cgroup.type", "c/vcpu/cgroup.threads"].map((each) => [each, ""]),
      ),
      ...Object.fromEntries(
        ["cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us", "tasks"].map((each) => [`c/vcpu/${each}`, ""]),
      ),
    };
    for (const [file, text] of Object.entries(files)) writeFileSync(join(mountpoint, file), text);
    const controllers = unified ? [] : ["cpu", "cpuacct"];
    const node = { mountpoint, name: controllers.join(","), controllers, unified, path: "/c", made: [] };
    action({ version: unified ? "v2" : "v1", nodes: [node] }, (file) =>
      readFileSync(join(mountpoint, "c", file), "utf8"),
    );
  } finally {
    rmSync(mountpoint, { recursive: true });
  }
}

describe("the processors of a machine on the host", () => {
  const own = () => [process.pid];

  test("are threads in a cgroup of v1 with a quota", () =>
    inCgroup(false, (record, read) => {
      limitProcessors(record, process.pid, own, limit(7500, 10_000));
      expect(read("vcpu/cpu.cfs_period_us")).toStartWith("10000");
      expect(read("vcpu/cpu.cfs_quota_us")).toStartWith("7500");
      expect(read("vcpu/tasks")).toBe(String(process.pid));
      limitProcessors(record, process.pid, own, undefined);
      expect(read("vcpu/cpu.cfs_quota_us")).toStartWith("-1");
    }));

  test("are threads in a threaded cgroup of v2", () =>
    inCgroup(true, (record, read) => {
      limitProcessors(record, process.pid, own, limit(7500, 10_000));
      expect(read("vcpu/cgroup.type")).toBe("threaded");
      expect(read("cgroup.subtree_control")).toBe("+cpu");
      expect(read("vcpu/cpu.max")).toBe("7500 10000");
      expect(read("vcpu/cgroup.threads")).toBe(String(process.pid));
      expect(read("vcpu/tasks")).toBe("");
    }));

  test("are no threads of others", () =>
    inCgroup(false, (record) => {
      expect(() => limitProcessors(record, process.pid, () => [1], limit(1, 1))).toThrow(
        "no threads of its own",
      );
    }));

  test("are asked of QEMU, whose answers are checked; new ones take its free places, the first ones first", () => {
    const asked: unknown[] = [];
    const monitor = (answer: unknown) =>
      ({
        command: (name: string, values: unknown) => {
          if (name === "device_add") asked.push(values);
          return answer;
        },
        lines: { broken: (what: string) => new Error(what) },
      }) as unknown as Qmp;
    expect(processorThreads(monitor([{ "cpu-index": 0, "thread-id": 7 }]), 0)).toEqual([7]);
    expect(() => processorThreads(monitor([{ "thread-id": "7" }]), 0)).toThrow("no list of processors");
    const place = (core: number, more = {}) => ({
      ...{ type: "max-x86_64-cpu", "vcpus-count": 1, props: { "core-id": core, "thread-id": 0 } },
      ...more,
    });
    const places = [place(2), place(1), place(0, { "qom-path": "/machine/unattached/device[0]" })];
    plugProcessors(monitor(places), 1, 0);
    expect(asked).toEqual([{ driver: "max-x86_64-cpu", id: "processor-1-0", "core-id": 1, "thread-id": 0 }]);
    expect(() => plugProcessors(monitor(places), 3, 0)).toThrow("room for 2 more");
    expect(() => plugProcessors(monitor("x"), 1, 0)).toThrow("no list of places");
  });
});
