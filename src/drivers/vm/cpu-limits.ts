import type { Resources } from "../../oci/config";

/** How much processor time a container, or a machine, may take: microseconds in each period (cpu.max of cgroup-v2.rst). */
export interface CpuLimit {
  quota: number;
  period: number;
}

/** The kernel's own period. */
const PERIOD = 100_000;

/** What is there after a change: a field that is not given stays. undefined where nothing limits. */
export function changedCpuLimit(before: CpuLimit | undefined, cpu: Resources["cpu"]): CpuLimit | undefined {
  const quota = Number(cpu?.quota || before?.quota || 0);
  const period = Number(cpu?.period || before?.period || PERIOD);
  return quota > 0 ? { quota, period } : undefined;
}

/**
 * What all containers of a machine may take together: the first one's, and of each other one as much as it has of a period, for that period.
 * undefined if there are none, or if one has no limit.
 */
export function mergedCpuLimit(limits: readonly (CpuLimit | undefined)[]): CpuLimit | undefined {
  const [first, ...others] = limits;
  if (first === undefined || others.includes(undefined)) return undefined;
  // whole numbers: what is in the middle may have more digits than a double
  const quota = others.reduce(
    (sum, other) => sum + (BigInt(other?.quota ?? 0) * BigInt(first.period)) / BigInt(other?.period ?? 1),
    BigInt(first.quota),
  );
  return { quota: Number(quota), period: first.period };
}

/** As many processors as it takes to have that time. */
export function processorsFor(limit: CpuLimit | undefined): number {
  return limit === undefined ? 0 : Math.ceil(limit.quota / limit.period);
}
