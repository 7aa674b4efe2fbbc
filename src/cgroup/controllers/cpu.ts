import type { HakoError } from "../../base/errors";
import type { Resources } from "../../oci/config";
import type { Integer } from "../../oci/json";
import type { CgroupNode } from "../hierarchy/record";
import { isLimit, isSet } from "./amount";
import type { Target } from "./target";

type Cpu = NonNullable<Resources["cpu"]>;

const DEFAULT_PERIOD = 100_000n;

/**
 * cpu.shares of v1 (2 … 262144) as cpu.weight of v2 (1 … 10000), so that the default 1024 becomes the default 100: the
 * quadratic curve in log2(shares) that runc and crun use too.
 */
export function sharesToWeight(shares: Integer): number {
  const value = Number(shares);
  if (value === 0) return 0;
  if (value <= 2) return 1;
  if (value >= 262_144) return 10_000;
  const l = Math.log2(value);
  // rounded first: 10 ** 2.0000000000000004 must not become 101
  const weight = 10 ** ((l * l + 125 * l) / 612 - 7 / 34);
  return Math.ceil(Number(weight.toFixed(6)));
}

/** Writes linux.resources.cpu but for the cpuset. */
export function applyCpu(target: Target, { cpu }: Resources): void {
  if (cpu === undefined) return;
  const numbers = ["shares", "quota", "period", "realtimeRuntime", "realtimePeriod"] as const;
  const field =
    numbers.find((name) => isSet(cpu[name])) ??
    (cpu.idle !== undefined ? "idle" : cpu.burst !== undefined ? "burst" : undefined);
  if (field === undefined) return;
  const node = target.need("cpu", `/cpu/${field}`);
  applyRealtime(target, node, cpu);
  applyShare(target, node, cpu);
  if (node.unified) applyQuotaV2(target, node, cpu);
  else applyQuotaV1(target, node, cpu);
}

function applyRealtime(target: Target, node: CgroupNode, cpu: Cpu): void {
  const fields = [
    ["realtimePeriod", "cpu.rt_period_us"],
    ["realtimeRuntime", "cpu.rt_runtime_us"],
  ] as const;
  for (const [name, file] of fields) {
    const value = cpu[name];
    if (!isSet(value)) continue;
    if (node.unified) {
      if (!isLimit(value)) continue;
      throw target.refuse(`/cpu/${name}`, "cgroup v2 cannot do it", "remove it");
    }
    target.write(node, file, value, `/cpu/${name}`);
  }
}

/** An idle cgroup refuses a weight: idle 0 is written before the weight, idle 1 after it. */
function applyShare(target: Target, node: CgroupNode, cpu: Cpu): void {
  const { idle } = cpu;
  const writeIdle = () => {
    const failed = target.tryWrite(node, "cpu.idle", String(idle));
    if (failed === undefined || (failed.errno === "ENOENT" && idle === 0)) return;
    throw target.failure("/cpu/idle", failed, "cpu.idle");
  };
  if (idle === 0) writeIdle();
  const isIdle = idle !== 0 && target.read(node, "cpu.idle") === "1";
  if (isSet(cpu.shares) && !(isIdle && idle === 1)) {
    if (node.unified) target.write(node, "cpu.weight", sharesToWeight(cpu.shares), "/cpu/shares");
    else writeShares(target, node, cpu.shares);
  }
  if (idle === 1) writeIdle();
}

/** v1 takes any number and keeps the nearest one that it can have. */
function writeShares(target: Target, node: CgroupNode, shares: Integer): void {
  target.write(node, "cpu.shares", shares, "/cpu/shares");
  const kept = target.read(node, "cpu.shares");
  if (kept === undefined || BigInt(kept) === BigInt(shares)) return;
  const bound = BigInt(kept) < BigInt(shares) ? "most" : "least";
  throw target.wrong("/cpu/shares", `${shares} is out of range`, `the ${bound} is ${kept}`);
}

/** A shorter period, or a longer burst, may be refused beside the old quota: then it is tried again after the new one. */
function applyQuotaV1(target: Target, node: CgroupNode, cpu: Cpu): void {
  const again: (() => void)[] = [];
  const write = (file: string, value: Integer, field: string) => {
    const failed = target.tryWrite(node, file, value);
    if (failed === undefined) return;
    if (failed.errno !== "EINVAL" || !isSet(cpu.quota)) throw target.failure(`/cpu/${field}`, failed, file);
    again.push(() => target.write(node, file, value, `/cpu/${field}`));
  };
  if (isSet(cpu.period)) write("cpu.cfs_period_us", cpu.period, "period");
  if (cpu.burst !== undefined && canWriteBurst(target, node, cpu.burst, "cpu.cfs_burst_us")) {
    write("cpu.cfs_burst_us", cpu.burst, "burst");
  }
  if (isSet(cpu.quota)) target.write(node, "cpu.cfs_quota_us", cpu.quota, "/cpu/quota");
  for (const retry of again) retry();
}

/** Kernels before 5.14 have no burst; none is then what 0 asks for. */
function canWriteBurst(target: Target, node: CgroupNode, burst: Integer, file: string): boolean {
  return BigInt(burst) !== 0n || target.exists(node, file);
}

function applyQuotaV2(target: Target, node: CgroupNode, cpu: Cpu): void {
  const burstFile = "cpu.max.burst";
  let retry = false;
  const writeBurst = (): HakoError | undefined =>
    cpu.burst === undefined || !canWriteBurst(target, node, cpu.burst, burstFile)
      ? undefined
      : target.tryWrite(node, burstFile, cpu.burst);
  const failed = writeBurst();
  if (failed !== undefined) {
    if (failed.errno !== "EINVAL" || !isSet(cpu.quota)) throw target.failure("/cpu/burst", failed, burstFile);
    retry = true;
  }
  if (isSet(cpu.quota) || isSet(cpu.period)) {
    // what only one of the two changes keeps the other
    const [nowQuota = "max", nowPeriod = String(DEFAULT_PERIOD)] = (target.read(node, "cpu.max") ?? "").split(
      " ",
    );
    const quota = isSet(cpu.quota) ? (BigInt(cpu.quota) < 0n ? "max" : String(cpu.quota)) : nowQuota || "max";
    const period = isSet(cpu.period) ? String(cpu.period) : nowPeriod;
    target.write(node, "cpu.max", `${quota} ${period}`, isSet(cpu.quota) ? "/cpu/quota" : "/cpu/period");
  }
  if (!retry) return;
  const still = writeBurst();
  if (still !== undefined) throw target.failure("/cpu/burst", still, burstFile);
}
