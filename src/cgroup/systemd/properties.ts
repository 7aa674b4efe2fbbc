import { bitMask, parseNumberList } from "../../linux/process/number-list";
import type { Resources } from "../../oci/config";
import { isSet } from "../controllers/amount";
import { blkioToIoWeight } from "../controllers/block-io";
import { sharesToWeight } from "../controllers/cpu";
import { memoryAmount, swapAlone } from "../controllers/memory";
import type { CgroupVersion } from "../hierarchy/layout";
import type { Property } from "./manager";
import { bytesVariant, SYSTEMD_INFINITY, uint64Variant } from "./variants";

/** The first versions of systemd that have a property. */
const SINCE = { quotaPeriod: 242, cpuset: 244, idle: 252, zswap: 253 } as const;
const DEFAULT_PERIOD = 100_000n;
const SECOND_US = 1_000_000n;
/** systemd counts a quota in whole percents of a processor. */
const PERCENT_US = 10_000n;
const DEFAULT_WEIGHT = 100n;

/** What a limit is relative to: the unit's cgroup and its systemd. */
export interface Circumstances {
  version: CgroupVersion;
  systemd: number;
  /** The present cpu.max; a quota below 0 means no limit. */
  quota: bigint;
  period: bigint;
  idle: boolean;
}

/** Properties by name. Of several with one name the last one counts. */
type Properties = Map<string, Property[1]>;

/**
 * A quota rounded up to what systemd can hold: in microseconds of processor time per second, and in the container's own period. The second
 * one is written to the file: systemd would change any other value later. runc rounds up too.
 */
export function roundedQuota(quota: bigint, period: bigint): { perSecond: bigint; quota: bigint } {
  if (quota <= 0n) return { perSecond: SYSTEMD_INFINITY, quota };
  const perSecond = (quota * SECOND_US) / period;
  if (perSecond % PERCENT_US === 0n) return { perSecond, quota };
  const rounded = (perSecond / PERCENT_US + 1n) * PERCENT_US;
  return { perSecond: rounded, quota: (rounded * period) / SECOND_US };
}

/** The resources, with a quota that systemd can hold. */
export function withRoundedQuota(resources: Resources, now: Circumstances): Resources {
  const { cpu } = resources;
  if (cpu === undefined || !isSet(cpu.quota)) return resources;
  const { quota } = roundedQuota(BigInt(cpu.quota), isSet(cpu.period) ? BigInt(cpu.period) : now.period);
  return { ...resources, cpu: { ...cpu, quota } };
}

/** linux.resources as properties of a unit, translated as by runc. What systemd has no property for is written to the files alone. */
export function resourceProperties(resources: Resources, now: Circumstances): Property[] {
  const properties: Properties = new Map();
  const unified = now.version === "v2";
  addMemory(properties, resources.memory, unified);
  addCpu(properties, resources.cpu, now);
  addCpuset(properties, resources.cpu?.cpus, resources.cpu?.mems, now);
  const { pids, blockIO } = resources;
  if (isSet(pids?.limit)) properties.set("TasksMax", uint64Variant(tasks(BigInt(pids.limit))));
  if (isSet(blockIO?.weight)) {
    if (unified) properties.set("IOWeight", uint64Variant(blkioToIoWeight(blockIO.weight)));
    else properties.set("BlockIOWeight", uint64Variant(BigInt(blockIO.weight)));
  }
  // last, as when the files are written
  if (unified) addUnified(properties, resources.unified ?? {}, now);
  return [...properties];
}

/** systemd takes no limit of 0: that is written to the file alone. */
function tasks(limit: bigint): bigint {
  if (limit < 0n) return SYSTEMD_INFINITY;
  return limit === 0n ? 1n : limit;
}

function amount(value: bigint): Property[1] {
  return uint64Variant(value < 0n ? SYSTEMD_INFINITY : value);
}

function addMemory(properties: Properties, memory: Resources["memory"], unified: boolean): void {
  if (memory === undefined) return;
  const limit = memoryAmount(memory.limit);
  if (limit !== undefined) properties.set(unified ? "MemoryMax" : "MemoryLimit", amount(limit));
  if (!unified) return;
  const reservation = memoryAmount(memory.reservation);
  if (reservation !== undefined) properties.set("MemoryLow", amount(reservation));
  const swap = swapAlone(limit, memoryAmount(memory.swap));
  // a wrong value is refused when the files are written
  if (typeof swap === "bigint") properties.set("MemorySwapMax", amount(swap));
}

function addCpu(properties: Properties, cpu: Resources["cpu"], now: Circumstances): void {
  if (cpu === undefined) return;
  const unified = now.version === "v2";
  if (isSet(cpu.shares)) {
    if (unified) properties.set("CPUWeight", uint64Variant(BigInt(sharesToWeight(cpu.shares))));
    else properties.set("CPUShares", uint64Variant(BigInt(cpu.shares)));
  }
  if (unified && cpu.idle !== undefined) addIdle(properties, String(cpu.idle), now);
  if (!isSet(cpu.quota) && !isSet(cpu.period)) return;
  const period = isSet(cpu.period) ? BigInt(cpu.period) : now.period;
  addQuota(properties, isSet(cpu.quota) ? BigInt(cpu.quota) : now.quota, period, now);
}

/** A weight of 0 is how systemd says cpu.idle. */
function addIdle(properties: Properties, idle: string, now: Circumstances): void {
  if (now.systemd < SINCE.idle) return;
  if (idle === "1") properties.set("CPUWeight", uint64Variant(0n));
  else if (now.idle && !properties.has("CPUWeight"))
    properties.set("CPUWeight", uint64Variant(DEFAULT_WEIGHT));
}

function addQuota(properties: Properties, quota: bigint, period: bigint, now: Circumstances): void {
  if (now.systemd >= SINCE.quotaPeriod) properties.set("CPUQuotaPeriodUSec", uint64Variant(period));
  properties.set("CPUQuotaPerSecUSec", uint64Variant(roundedQuota(quota, period).perSecond));
}

function addCpuset(
  properties: Properties,
  cpus: string | undefined,
  mems: string | undefined,
  now: Circumstances,
): void {
  if (now.systemd < SINCE.cpuset) return;
  for (const [name, list] of [
    ["AllowedCPUs", cpus],
    ["AllowedMemoryNodes", mems],
  ] as const) {
    // a wrong list is refused by the kernel, when the files are written
    const numbers = list === undefined || list === "" ? undefined : parseNumberList(list);
    if (numbers === undefined) continue;
    properties.set(name, bytesVariant(maskBytes(numbers)));
  }
}

/** A bit mask in systemd's form: the lowest byte first, without zeros at the end. */
function maskBytes(numbers: readonly number[]): Uint8Array {
  return new Uint8Array(bitMask(numbers).buffer).slice(0, (Math.max(...numbers) >> 3) + 1);
}

/** Files of `unified` whose value is one number, or "max". */
const UNIFIED_AMOUNTS: Readonly<Record<string, string>> = {
  "memory.high": "MemoryHigh",
  "memory.low": "MemoryLow",
  "memory.min": "MemoryMin",
  "memory.max": "MemoryMax",
  "memory.swap.max": "MemorySwapMax",
};

function addUnified(properties: Properties, unified: Record<string, string>, now: Circumstances): void {
  for (const [file, line] of Object.entries(unified)) {
    const value = line.trim();
    const number = value === "max" ? -1n : /^\d+$/.test(value) ? BigInt(value) : undefined;
    const name = UNIFIED_AMOUNTS[file];
    if (name !== undefined) {
      if (number !== undefined) properties.set(name, amount(number));
    } else if (file === "memory.zswap.max") {
      if (number !== undefined && now.systemd >= SINCE.zswap)
        properties.set("MemoryZSwapMax", amount(number));
    } else if (file === "pids.max") {
      if (number !== undefined) properties.set("TasksMax", uint64Variant(tasks(number)));
    } else if (file === "cpu.max") addCpuMax(properties, value, now);
    else if (file === "cpuset.cpus") addCpuset(properties, value, undefined, now);
    else if (file === "cpuset.mems") addCpuset(properties, undefined, value, now);
    else if (file === "cpu.weight" && number !== undefined)
      properties.set("CPUWeight", uint64Variant(number));
  }
  const idle = unified["cpu.idle"]?.trim();
  if (idle !== undefined) addIdle(properties, idle, now);
}

/** "QUOTA [PERIOD]" */
function addCpuMax(properties: Properties, value: string, now: Circumstances): void {
  const [quota = "", period = String(DEFAULT_PERIOD), ...more] = value.split(/\s+/);
  if (more.length > 0 || !/^(max|\d+)$/.test(quota) || !/^[1-9]\d*$/.test(period)) return;
  addQuota(properties, quota === "max" ? -1n : BigInt(quota), BigInt(period), now);
}
