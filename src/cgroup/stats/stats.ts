import { listNames } from "../../linux/file/file";
import { parseNumberList } from "../../linux/process/number-list";
import type { Integer } from "../../oci/json";
import { Target } from "../controllers/target";
import { exactNumber, readExactTable, readTable, tryReadValue } from "../hierarchy/files";
import { directoryOf } from "../hierarchy/node";
import type { CgroupRecord } from "../hierarchy/record";
import { blockIoV1, ioStat } from "./stats-block-io";
import type { CgroupStats, CpusetFlags, Pressure } from "./stats-types";

/** The number for v2's "max" in runc's JSON. */
const MAX = 2n ** 64n - 1n;
/** USER_HZ, the unit of cpuacct.stat: 100 on all of Linux's ABIs that hako runs on. */
const TICK_NS = 10_000_000;

type Read = (file: string) => Integer;

/** Reads all counters; those that the host does not count are 0. */
export function statsOf(record: CgroupRecord): CgroupStats {
  const target = new Target(record);
  return {
    cpu: { usage: cpuUsage(target), throttling: throttling(target), psi: pressure(target, "cpu") },
    cpuset: cpuset(target),
    memory: memoryStats(target),
    pids: pidsStats(target),
    blkio: blkioStats(target),
    hugetlb: hugetlbStats(target),
    intel_rdt: {},
    network_interfaces: null,
  };
}

function directory(target: Target, controller: string): { dir: string; unified: boolean } | undefined {
  const node = target.find(controller);
  return node === undefined ? undefined : { dir: directoryOf(node), unified: node.unified };
}

function numberIn(file: string): Integer {
  const text = tryReadValue(file);
  return text === undefined ? 0 : text === "max" ? MAX : exactNumber(text);
}

/** The numbers of a text, which white space separates. */
function numbersIn(text: string): Integer[] {
  return text
    .split(/\s+/)
    .filter((word) => word !== "")
    .map(exactNumber);
}

/** A product of integers, exactly. */
function product(value: number, factor: number): Integer {
  return Number.isSafeInteger(value * factor) ? value * factor : BigInt(value) * BigInt(factor);
}

/** Reads lines "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" of v2; undefined where the kernel does not measure it. */
function pressure(target: Target, what: string): Pressure | undefined {
  const unified = target.record.version === "v2" ? directory(target, "") : undefined;
  const text = unified === undefined ? undefined : tryReadValue(`${unified.dir}/${what}.pressure`);
  if (text === undefined) return undefined;
  const data = (kind: string) => {
    const line = new RegExp(`^${kind} (.*)$`, "m").exec(text)?.[1] ?? "";
    const value = (key: string) => new RegExp(`\\b${key}=([0-9.]+)`).exec(line)?.[1] ?? "0";
    const [avg10, avg60, avg300] = ["avg10", "avg60", "avg300"].map((key) => Number(value(key)));
    return { avg10: avg10 ?? 0, avg60: avg60 ?? 0, avg300: avg300 ?? 0, total: exactNumber(value("total")) };
  };
  return { some: data("some"), full: data("full") };
}

function cpuUsage(target: Target): CgroupStats["cpu"]["usage"] {
  const v1 = directory(target, "cpuacct");
  if (v1 !== undefined && !v1.unified) {
    const stat = readTable(`${v1.dir}/cpuacct.stat`);
    // a line of titles, then "0 USER SYSTEM" for each processor
    const all = tryReadValue(`${v1.dir}/cpuacct.usage_all`)?.split("\n").slice(1).map(numbersIn);
    return {
      total: numberIn(`${v1.dir}/cpuacct.usage`),
      percpu: numbersIn(tryReadValue(`${v1.dir}/cpuacct.usage_percpu`) ?? ""),
      ...(all === undefined
        ? {}
        : {
            percpu_kernel: all.map(([, , system = 0]) => system),
            percpu_user: all.map(([, user = 0]) => user),
          }),
      kernel: product(stat.system ?? 0, TICK_NS),
      user: product(stat.user ?? 0, TICK_NS),
    };
  }
  const unified = directory(target, "");
  const stat = unified === undefined ? {} : readTable(`${unified.dir}/cpu.stat`);
  const nanoseconds = (key: string) => product(stat[key] ?? 0, 1000);
  return {
    total: nanoseconds("usage_usec"),
    kernel: nanoseconds("system_usec"),
    user: nanoseconds("user_usec"),
  };
}

function throttling(target: Target): CgroupStats["cpu"]["throttling"] {
  const cpu = directory(target, "cpu");
  const stat = cpu === undefined ? {} : readTable(`${cpu.dir}/cpu.stat`);
  return {
    periods: stat.nr_periods ?? 0,
    throttledPeriods: stat.nr_throttled ?? 0,
    throttledTime: stat.throttled_time ?? product(stat.throttled_usec ?? 0, 1000),
  };
}

/** The lists of processors and memory nodes as the kernel writes them; "" where there are none. */
export function cpusetLists(target: Target): { cpus: string; mems: string } {
  const node = directory(target, "cpuset");
  const read = (name: string) => {
    if (node === undefined) return "";
    const effective = node.unified ? `cpuset.${name}.effective` : `cpuset.effective_${name}`;
    return tryReadValue(`${node.dir}/${effective}`) ?? tryReadValue(`${node.dir}/cpuset.${name}`) ?? "";
  };
  return { cpus: read("cpus"), mems: read("mems") };
}

function cpuset(target: Target): CgroupStats["cpuset"] {
  const { cpus, mems } = cpusetLists(target);
  const node = directory(target, "cpuset");
  const flag = (name: keyof CpusetFlags) =>
    node === undefined || node.unified ? 0 : Number(numberIn(`${node.dir}/cpuset.${name}`));
  return {
    cpus: parseNumberList(cpus) ?? [],
    cpu_exclusive: flag("cpu_exclusive"),
    mems: parseNumberList(mems) ?? [],
    mem_hardwall: flag("mem_hardwall"),
    mem_exclusive: flag("mem_exclusive"),
    memory_migrate: flag("memory_migrate"),
    memory_spread_page: flag("memory_spread_page"),
    memory_spread_slab: flag("memory_spread_slab"),
    memory_pressure: flag("memory_pressure"),
    sched_load_balance: flag("sched_load_balance"),
    sched_relax_domain_level: flag("sched_relax_domain_level"),
  };
}

function sum(one: Integer, other: Integer): Integer {
  return exactNumber(String(BigInt(one) + BigInt(other)));
}

function memoryStats(target: Target): CgroupStats["memory"] {
  const node = directory(target, "memory");
  const none = { limit: 0, usage: 0, max: 0, failcnt: 0 };
  if (node === undefined) {
    return { cache: 0, usage: none, swap: none, kernel: none, kernelTCP: none, raw: {} };
  }
  const raw = readExactTable(`${node.dir}/memory.stat`);
  const read: Read = (file) => numberIn(`${node.dir}/memory.${file}`);
  if (node.unified) {
    const events = readTable(`${node.dir}/memory.events`);
    const usage = {
      limit: read("max"),
      usage: read("current"),
      max: read("peak"),
      failcnt: events.max ?? 0,
    };
    // in runc's JSON swap includes memory, as in v1's memsw files
    const swapMax = read("swap.max");
    const limit = swapMax === MAX || usage.limit === MAX ? MAX : sum(swapMax, usage.limit);
    const swap = { limit, usage: sum(read("swap.current"), usage.usage), max: 0, failcnt: 0 };
    const kernel = { ...none, usage: raw.kernel ?? 0 };
    const psi = pressure(target, "memory");
    return { cache: raw.file ?? 0, usage, swap, kernel, kernelTCP: none, raw, psi };
  }
  const counter = (prefix: string) => ({
    limit: read(`${prefix}limit_in_bytes`),
    usage: read(`${prefix}usage_in_bytes`),
    max: read(`${prefix}max_usage_in_bytes`),
    failcnt: read(`${prefix}failcnt`),
  });
  return {
    cache: raw.cache ?? 0,
    usage: counter(""),
    swap: counter("memsw."),
    kernel: counter("kmem."),
    kernelTCP: counter("kmem.tcp."),
    raw,
  };
}

/** Reads the pids controller. A limit of 0 is none, as in runc's JSON. */
function pidsStats(target: Target): CgroupStats["pids"] {
  const node = directory(target, "pids");
  if (node === undefined) return { current: 0, limit: 0 };
  const limit = numberIn(`${node.dir}/pids.max`);
  return {
    current: Number(numberIn(`${node.dir}/pids.current`)),
    limit: limit === MAX ? 0 : Number(limit),
  };
}

function blkioStats(target: Target): CgroupStats["blkio"] {
  const node = directory(target, "blkio");
  if (node === undefined) return { ioServiceBytesRecursive: [], ioServicedRecursive: [] };
  if (!node.unified) return blockIoV1(node.dir);
  return { ...ioStat(tryReadValue(`${node.dir}/io.stat`) ?? ""), psi: pressure(target, "io") };
}

function hugetlbStats(target: Target): CgroupStats["hugetlb"] {
  const node = directory(target, "hugetlb");
  const stats: CgroupStats["hugetlb"] = {};
  if (node === undefined) return stats;
  for (const file of listNames(node.dir)) {
    const size = /^hugetlb\.([0-9]+[KMG]B)\.(?:max|limit_in_bytes)$/.exec(file)?.[1];
    if (size === undefined) continue;
    const read: Read = (name) => numberIn(`${node.dir}/hugetlb.${size}.${name}`);
    const events = node.unified ? readTable(`${node.dir}/hugetlb.${size}.events`) : {};
    stats[size] = node.unified
      ? { usage: read("current"), max: 0, failcnt: events.max ?? 0 }
      : { usage: read("usage_in_bytes"), max: read("max_usage_in_bytes"), failcnt: read("failcnt") };
  }
  return stats;
}
