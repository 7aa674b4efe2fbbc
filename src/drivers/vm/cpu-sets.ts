import { HakoError } from "../../base/errors";
import type { Resources } from "../../oci/config";

/** Processors and memory nodes of the host, as lists (cpuset(7), "List format"). */
export interface CpuSet {
  cpus?: string | undefined;
  mems?: string | undefined;
}

/** What is there after a change: a list that is not given, or empty, stays. undefined where nothing binds. */
export function changedCpuset(before: CpuSet | undefined, cpu: Resources["cpu"]): CpuSet | undefined {
  const cpus = cpu?.cpus || before?.cpus;
  const mems = cpu?.mems || before?.mems;
  return cpus === undefined && mems === undefined ? undefined : { cpus, mems };
}

/** Limits without those that QEMU has on the host: the guest calls its processors and memory otherwise. */
export function withoutCpuset(resources: Resources): Resources {
  const { cpu } = resources;
  return cpu === undefined ? resources : { ...resources, cpu: { ...cpu, cpus: undefined, mems: undefined } };
}

/** What all of a machine's containers are bound to; they run by the same threads of the host's, so that none can have another one. */
export function commonCpuset(sets: readonly (CpuSet | undefined)[]): CpuSet | undefined {
  const [first] = sets;
  if (sets.every((each) => each?.cpus === first?.cpus && each?.mems === first?.mems)) return first;
  throw new HakoError({
    code: "unsupported",
    message: `/linux/resources/cpu/cpus and mems, other ones than those of the machine's other containers: the driver "vm" can't do this`,
  });
}

/** How many processors a list of ranges has; 0 of one that is written otherwise. */
export function processorsIn({ cpus = "" }: CpuSet = {}): number {
  return cpus.split(",").reduce((sum, range) => {
    const [, first, last = first] = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(range) ?? [];
    return first === undefined ? sum : sum + Math.max(0, Number(last) - Number(first) + 1);
  }, 0);
}
