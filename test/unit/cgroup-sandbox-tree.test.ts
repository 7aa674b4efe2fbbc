import { expect, test } from "bun:test";
import { parseLayout } from "../../src/cgroup";
import type { CpuResources } from "../../src/cgroup/controllers/resources";
import { mergeCpuLimits, SandboxTree } from "../../src/cgroup/group/sandbox-tree";

const cpu = (quota: number, period: number): CpuResources => ({ quota, period });

test.each([
  [[undefined, {}], undefined],
  [
    [cpu(0, 100_000), cpu(20_000, 100_000)],
    [20_000n, 100_000n],
  ],
  [
    [cpu(10_000, 0), cpu(20_000, 100_000)],
    [20_000n, 100_000n],
  ],
  [
    [cpu(-1, 100_000), cpu(20_000, 100_000)],
    [20_000n, 100_000n],
  ],
  [
    [cpu(1000, 2000), cpu(20_000, 100_000)],
    [1400n, 2000n],
  ],
  [
    [cpu(5000, 10_000), cpu(40, 100)],
    [9000n, 10_000n],
  ],
  [
    [cpu(5000, 10_000), cpu(10_000, 40_000)],
    [7500n, 10_000n],
  ],
] as const)("CPU limits %j together", (containers, expected) => {
  const merged = mergeCpuLimits([...containers]);
  expect(merged === undefined ? undefined : [merged.quota, merged.period]).toEqual(expected as never);
});

test("merging leaves the containers' own limits alone", () => {
  const first = cpu(1000, 2000);
  mergeCpuLimits([first, cpu(20_000, 100_000)]);
  expect(first).toEqual({ quota: 1000, period: 2000 });
});

test("limits without a tree, and ids that are paths, are refused", () => {
  const layout = parseLayout("1 1 0:1 / /missing/cpu rw - cgroup cgroup rw,cpu\n", "");
  expect(() => new SandboxTree(layout, "s").apply(undefined, () => [])).toThrow("no cgroups yet");
  expect(() => new SandboxTree(layout, "../s")).toThrow("is no sandbox id");
});
