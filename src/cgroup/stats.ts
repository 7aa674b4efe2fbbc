import { listNames } from "../linux/file";
import { readTable, tryReadValue } from "./files";
import type { CgroupRecord } from "./index";
import { directoryOf } from "./node";
import type { BlkioEntry, CgroupStats } from "./stats-types";
import { Target } from "./target";

/** No limit, as v1's files say it: the largest number of whole pages. It fits a signed 64-bit number. */
export const UNLIMITED = 2 ** 63 - 4096;
/** USER_HZ, the unit of cpuacct.stat: 100 on all of Linux's ABIs that hako runs on. */
const TICK_NS = 10_000_000;

type Read = (file: string) => number;

/** Reads all counters; what a host doesn't count is 0. */
export function statsOf(record: CgroupRecord): CgroupStats {
  const target = new Target(record);
  return {
    cpu: { usage: cpuUsage(target), throttling: throttling(target) },
    cpuset: cpuset(target),
    memory: memoryStats(target),
    pids: pidsStats(target),
    blkio: blkioStats(target),
    hugetlb: hugetlbStats(target),
  };
}

function directory(target: Target, controller: string): { dir: string; unified: boolean } | undefined {
  const node = target.find(controller);
  return node === undefined ? undefined : { dir: directoryOf(node), unified: node.unified };
}

function numberIn(file: string): number {
  const text = tryReadValue(file);
  return text === undefined ? 0 : text === "max" ? UNLIMITED : Number(text) || 0;
}

function cpuUsage(target: Target): CgroupStats["cpu"]["usage"] {
  const v1 = directory(target, "cpuacct");
  if (v1 !== undefined && !v1.unified) {
    const percpu = (tryReadValue(`${v1.dir}/cpuacct.usage_percpu`) ?? "")
      .split(/\s+/)
      .filter((word) => word !== "");
    const stat = readTable(`${v1.dir}/cpuacct.stat`);
    return {
      total: numberIn(`${v1.dir}/cpuacct.usage`),
      percpu: percpu.map(Number),
      kernel: (stat.system ?? 0) * TICK_NS,
      user: (stat.user ?? 0) * TICK_NS,
    };
  }
  const unified = directory(target, "");
  const stat = unified === undefined ? {} : readTable(`${unified.dir}/cpu.stat`);
  const nanoseconds = (key: string) => (stat[key] ?? 0) * 1000;
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
    throttledTime: stat.throttled_time ?? (stat.throttled_usec ?? 0) * 1000,
  };
}

function cpuset(target: Target): CgroupStats["cpuset"] {
  const node = directory(target, "cpuset");
  const read = (name: string) => {
    if (node === undefined) return "";
    const effective = node.unified ? `cpuset.${name}.effective` : `cpuset.effective_${name}`;
    return tryReadValue(`${node.dir}/${effective}`) ?? tryReadValue(`${node.dir}/cpuset.${name}`) ?? "";
  };
  return { cpus: read("cpus"), mems: read("mems") };
}

function memoryStats(target: Target): CgroupStats["memory"] {
  const node = directory(target, "memory");
  const none = { limit: 0, usage: 0, max: 0, failcnt: 0 };
  if (node === undefined) {
    return { cache: 0, usage: none, swap: none, kernel: none, kernelTCP: none, raw: {} };
  }
  const raw = readTable(`${node.dir}/memory.stat`);
  const read: Read = (file) => numberIn(`${node.dir}/memory.${file}`);
  if (node.unified) {
    const events = readTable(`${node.dir}/memory.events`);
    const usage = {
      limit: read("max"),
      usage: read("current"),
      max: read("peak"),
      failcnt: events.max ?? 0,
    };
    // runc's JSON counts memory in: what v1's memsw files say
    const swapMax = read("swap.max");
    const limit = swapMax === UNLIMITED || usage.limit === UNLIMITED ? UNLIMITED : swapMax + usage.limit;
    const swap = { limit, usage: read("swap.current") + usage.usage, max: 0, failcnt: 0 };
    const kernel = { ...none, usage: raw.kernel ?? 0 };
    return { cache: raw.file ?? 0, usage, swap, kernel, kernelTCP: none, raw };
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

/** A limit of 0 stands for none here, as in runc's JSON. */
function pidsStats(target: Target): CgroupStats["pids"] {
  const node = directory(target, "pids");
  if (node === undefined) return { current: 0, limit: 0 };
  const limit = numberIn(`${node.dir}/pids.max`);
  return { current: numberIn(`${node.dir}/pids.current`), limit: limit === UNLIMITED ? 0 : limit };
}

function blkioStats(target: Target): CgroupStats["blkio"] {
  const node = directory(target, "blkio");
  if (node === undefined) return { ioServiceBytesRecursive: [], ioServicedRecursive: [] };
  if (node.unified) return ioStat(tryReadValue(`${node.dir}/io.stat`) ?? "");
  const first = (names: string[]) => {
    for (const name of names) {
      const entries = blkioEntries(tryReadValue(`${node.dir}/blkio.${name}`) ?? "");
      if (entries.length > 0) return entries;
    }
    return [];
  };
  const names = (what: string) => [`bfq.${what}_recursive`, `throttle.${what}_recursive`, `throttle.${what}`];
  return {
    ioServiceBytesRecursive: first(names("io_service_bytes")),
    ioServicedRecursive: first(names("io_serviced")),
  };
}

/** "8:0 Read 4096" lines; the "Total 0" line is no device's. */
function blkioEntries(text: string): BlkioEntry[] {
  const matches = text.matchAll(/^(\d+):(\d+) (\w+) (\d+)$/gm);
  return [...matches].map(([, major, minor, op = "", value]) => ({
    major: Number(major),
    minor: Number(minor),
    op,
    value: Number(value),
  }));
}

/** "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0" lines. */
export function ioStat(text: string): CgroupStats["blkio"] {
  const bytes: BlkioEntry[] = [];
  const counts: BlkioEntry[] = [];
  const keys: Record<string, [BlkioEntry[], string]> = {
    rbytes: [bytes, "Read"],
    wbytes: [bytes, "Write"],
    dbytes: [bytes, "Discard"],
    rios: [counts, "Read"],
    wios: [counts, "Write"],
    dios: [counts, "Discard"],
  };
  for (const line of text.split("\n")) {
    const [device = "", ...pairs] = line.split(" ");
    const [major, minor] = device.split(":").map(Number);
    for (const pair of pairs) {
      const [key = "", value] = pair.split("=");
      const place = keys[key];
      if (place === undefined || major === undefined || minor === undefined) continue;
      place[0].push({ major, minor, op: place[1], value: Number(value) });
    }
  }
  return { ioServiceBytesRecursive: bytes, ioServicedRecursive: counts };
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
