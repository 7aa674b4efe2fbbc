import { during } from "../errors";
import { setMemoryPolicy } from "../linux/memory-policy";
import { parseNumberList } from "../linux/number-list";
import { affinityStep, setAffinity, setIoPriority, setScheduler } from "../linux/scheduler";
import { syscall } from "../linux/syscall";
import type { Linux, Process } from "../oci/config";

/** personality(2): the execution domains of config.json. */
const DOMAINS = { LINUX: 0, LINUX32: 0x0008 } as const;

/** How the program's process, 0 for this one, is scheduled: it takes rights, and need not be passed on to a child. */
export function applyScheduler({ scheduler }: Process, pid: number): void {
  if (scheduler === undefined) return;
  const { runtime, deadline, period, flags = [], ...rest } = scheduler;
  const times = { runtime: BigInt(runtime), deadline: BigInt(deadline), period: BigInt(period) };
  during("config /process/scheduler", () => setScheduler(pid, { ...rest, ...times, flags }), {
    hint: "realtime and negative nice values need CAP_SYS_NICE, and on cgroup v1 realtime needs cpu.rt_runtime_us",
  });
}

/** The program's IO priority, and what it takes the machine for; before the identity, for it takes rights. */
export function applyAttributes({ ioPriority }: Process, linux: Linux | undefined): void {
  if (ioPriority !== undefined) {
    during("config /process/ioPriority", () => setIoPriority(ioPriority.class, ioPriority.priority));
  }
  const { personality, memoryPolicy } = linux ?? {};
  if (personality !== undefined) {
    during("config /linux/personality", () => syscall("personality", DOMAINS[personality.domain]));
  }
  if (memoryPolicy !== undefined) {
    const { mode, flags = [], nodes = "" } = memoryPolicy;
    const list = nodes === "" ? [] : (parseNumberList(nodes) ?? []);
    during("config /linux/memoryPolicy", () => setMemoryPolicy(mode, flags, list));
  }
}

/** Binds an exec's process to the processors of execCPUAffinity before it joins the container's cgroup. */
export function applyInitialAffinity({ execCPUAffinity }: Process): void {
  const list = execCPUAffinity?.initial ?? "";
  if (list === "") return;
  during("config /process/execCPUAffinity/initial", () => setAffinity(parseNumberList(list) ?? []));
}

/** The same for after it; undefined if nothing is said. */
export function finalAffinityStep({ execCPUAffinity }: Process): ReturnType<typeof affinityStep> | undefined {
  const list = execCPUAffinity?.final ?? "";
  return list === ""
    ? undefined
    : affinityStep("config /process/execCPUAffinity/final: sched_setaffinity", parseNumberList(list) ?? []);
}
