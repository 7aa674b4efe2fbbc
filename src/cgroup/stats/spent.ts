import { Target } from "../controllers/target";
import { readTable, tryReadValue } from "../hierarchy/files";
import { directoryOf } from "../hierarchy/node";
import type { CgroupRecord } from "../hierarchy/record";
import { memoryKills } from "./shortage";

/** USER_HZ, the unit of cpuacct.stat: 100 on all of Linux's ABIs that hako runs on. */
const TICK_MS = 10;

/** What the processes of a container have used, those that have ended too. undefined is what this host doesn't count. */
export interface Spent {
  cpuUserMs: number | undefined;
  cpuSystemMs: number | undefined;
  memoryPeakBytes: number | undefined;
  pidsPeak: number | undefined;
  /** How many of them the kernel has killed for lack of memory. */
  memoryKills: number | undefined;
}

export const NOTHING_COUNTED: Spent = {
  ...{ cpuUserMs: undefined, cpuSystemMs: undefined },
  ...{ memoryPeakBytes: undefined, pidsPeak: undefined, memoryKills: undefined },
};

/** Reads what a container's cgroups have counted up to now. */
export function spentIn(record: CgroupRecord): Spent {
  const target = new Target(record);
  const fileOf = (controller: string, v1: string, v2: string) => {
    const node = target.find(controller);
    return node === undefined ? undefined : `${directoryOf(node)}/${node.unified ? v2 : v1}`;
  };
  return {
    ...processorTime(target),
    memoryPeakBytes: counted(fileOf("memory", "memory.max_usage_in_bytes", "memory.peak")),
    pidsPeak: counted(fileOf("pids", "pids.peak", "pids.peak")),
    memoryKills: memoryKills(record),
  };
}

/** By cpu.stat of the unified hierarchy where there is one, which needs no controller and is exact to the microsecond; else by cpuacct. */
function processorTime(target: Target): Pick<Spent, "cpuUserMs" | "cpuSystemMs"> {
  const tableOf = (controller: string, file: string) => {
    const node = target.find(controller);
    return node === undefined ? {} : readTable(`${directoryOf(node)}/${file}`);
  };
  const { user_usec, system_usec } = tableOf("", "cpu.stat");
  if (user_usec !== undefined && system_usec !== undefined)
    return { cpuUserMs: user_usec / 1000, cpuSystemMs: system_usec / 1000 };
  const { user, system } = tableOf("cpuacct", "cpuacct.stat");
  const inMs = (ticks: number | undefined) => (ticks === undefined ? undefined : ticks * TICK_MS);
  return { cpuUserMs: inMs(user), cpuSystemMs: inMs(system) };
}

function counted(file: string | undefined): number | undefined {
  const text = file === undefined ? undefined : tryReadValue(file);
  return text === undefined || !/^\d+$/.test(text) ? undefined : Number(text);
}
