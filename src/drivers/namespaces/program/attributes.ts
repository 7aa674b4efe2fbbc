import { errnoHint } from "../../../base/errno-hints";
import { during } from "../../../base/errors";
import type { Step } from "../../../linux/call/step";
import { memoryPolicyStep } from "../../../linux/process/memory-policy";
import { parseNumberList } from "../../../linux/process/number-list";
import { PERSONALITIES } from "../../../linux/process/personality";
import { affinityStep, ioPriorityStep, setScheduler, unboundStep } from "../../../linux/process/scheduler";
import type { Linux, Process } from "../../../oci/config";

const NEEDS_RIGHTS =
  "realtime and negative nice values need CAP_SYS_NICE, and on cgroup v1 realtime needs cpu.rt_runtime_us";

/** How the program's process, 0 for this one, is scheduled: it takes rights, and need not be passed on to a child. */
export function applyScheduler({ scheduler }: Process, pid: number): void {
  if (scheduler === undefined) return;
  const { runtime, deadline, period, flags = [], ...rest } = scheduler;
  const times = { runtime: BigInt(runtime), deadline: BigInt(deadline), period: BigInt(period) };
  during(
    "config /process/scheduler",
    () => setScheduler(pid, { ...rest, ...times, flags }),
    ({ errno }) => ({
      hint:
        (rest.policy === "SCHED_DEADLINE" ? errnoHint("schedule by SCHED_DEADLINE", errno) : undefined) ??
        NEEDS_RIGHTS,
    }),
  );
}

/** The program's IO priority, and what it takes the machine for; before the identity, for it takes rights. */
export function attributeSteps({ ioPriority }: Process, linux: Linux | undefined): Step[] {
  const steps: Step[] = [];
  if (ioPriority !== undefined) {
    steps.push(ioPriorityStep("config /process/ioPriority", ioPriority.class, ioPriority.priority));
  }
  const { personality, memoryPolicy } = linux ?? {};
  if (personality !== undefined) {
    const { domain } = personality;
    steps.push({
      what: `config /linux/personality: personality ${domain}`,
      call: "personality",
      args: [PERSONALITIES[domain]],
    });
  }
  if (memoryPolicy !== undefined) {
    const { mode, flags = [], nodes = "" } = memoryPolicy;
    const list = nodes === "" ? [] : (parseNumberList(nodes) ?? []);
    steps.push(memoryPolicyStep("config /linux/memoryPolicy", mode, flags, list));
  }
  return steps;
}

/**
 * Binds an exec's process to the processors of execCPUAffinity: before it joins the container's cgroup, or after it. Without
 * that it has all of the cgroup's then: what the caller is bound to, a service manager's CPUAffinity= for one, is not the program's.
 */
export function affinitySteps({ execCPUAffinity }: Process, when: "initial" | "final"): Step[] {
  if (execCPUAffinity === undefined) return when === "final" ? [unboundStep()] : [];
  const list = execCPUAffinity[when] ?? "";
  if (list === "") return [];
  return [affinityStep(`config /process/execCPUAffinity/${when}`, parseNumberList(list) ?? [])];
}
