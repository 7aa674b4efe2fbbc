import type { Integer } from "../../oci/json";
import { Target } from "../controllers/target";
import type { CgroupVersion } from "../hierarchy/layout";
import { memoryKills } from "../stats/shortage";
import { cpusetLists } from "../stats/stats";
import { countedLimit } from "../stats/unlimited";
import type { Cgroup } from "./cgroup";

/** A limit, and what is used of it. undefined: there is no limit, or it is not counted here. */
export interface ReportRow {
  resource: string;
  unit: "bytes" | "cpus" | "nanoseconds" | "processes" | "weight" | "list" | "times";
  limit: number | string | undefined;
  use: number | string | undefined;
  /** The most that was used at once. */
  peak?: number | undefined;
}

export interface CgroupReport {
  version: CgroupVersion;
  /** Absolute directories by controller; "" is the unified hierarchy. */
  paths: Record<string, string>;
  pids: number[];
  resources: ReportRow[];
}

/** A peak; undefined where the kernel keeps none, as before Linux 5.19 on v2. */
function highest(value: Integer): number | undefined {
  return value === 0 ? undefined : Number(value);
}

/** The most processes that there were at once (Linux 6.11). */
function pidsPeak(target: Target): number | undefined {
  const node = target.find("pids");
  const text = node === undefined ? undefined : target.read(node, "pids.peak");
  return text === undefined ? undefined : Number(text);
}

/** The number of processors that the quota allows; undefined without a quota. */
function cpuQuota(target: Target): number | undefined {
  const node = target.find("cpu");
  if (node === undefined) return undefined;
  const [quota, period] = node.unified
    ? (target.read(node, "cpu.max") ?? "max").split(" ")
    : [target.read(node, "cpu.cfs_quota_us"), target.read(node, "cpu.cfs_period_us")];
  const value = Number(quota) / Number(period);
  return Number.isFinite(value) && value > 0 ? value : undefined;
}

function cpuWeight(target: Target): number | undefined {
  const node = target.find("cpu");
  const text = node === undefined ? undefined : target.read(node, node.unified ? "cpu.weight" : "cpu.shares");
  return text === undefined ? undefined : Number(text);
}

/** The places of a container's cgroups, their limits, and what is used of them. */
export function reportOf(cgroup: Cgroup): CgroupReport {
  const stats = cgroup.stats();
  const target = new Target(cgroup.record);
  const { memory, cpu, pids } = stats;
  const { cpus, mems } = cpusetLists(target);
  const resources: ReportRow[] = [
    {
      resource: "memory",
      unit: "bytes",
      limit: countedLimit(memory.usage.limit),
      use: Number(memory.usage.usage),
      peak: highest(memory.usage.max),
    },
    {
      resource: "memory and swap",
      unit: "bytes",
      limit: countedLimit(memory.swap.limit),
      use: Number(memory.swap.usage),
      peak: highest(memory.swap.max),
    },
    {
      resource: "out-of-memory kills",
      unit: "times",
      limit: undefined,
      use: memoryKills(cgroup.record),
    },
    {
      resource: "processes",
      unit: "processes",
      limit: countedLimit(pids.limit),
      use: pids.current,
      peak: pidsPeak(target),
    },
    { resource: "cpu quota", unit: "cpus", limit: cpuQuota(target), use: undefined },
    { resource: "cpu time", unit: "nanoseconds", limit: undefined, use: Number(cpu.usage.total) },
    // only a quota throttles
    { resource: "cpu periods", unit: "times", limit: undefined, use: cpu.throttling.periods || undefined },
    {
      resource: "throttled periods",
      unit: "times",
      limit: undefined,
      use: cpu.throttling.periods === 0 ? undefined : cpu.throttling.throttledPeriods,
    },
    {
      resource: "throttled time",
      unit: "nanoseconds",
      limit: undefined,
      use: cpu.throttling.periods === 0 ? undefined : Number(cpu.throttling.throttledTime),
    },
    { resource: "cpu weight", unit: "weight", limit: cpuWeight(target), use: undefined },
    { resource: "cpus", unit: "list", limit: cpus || undefined, use: undefined },
    { resource: "memory nodes", unit: "list", limit: mems || undefined, use: undefined },
  ];
  return { version: cgroup.version, paths: cgroup.paths, pids: cgroup.pids(), resources };
}
