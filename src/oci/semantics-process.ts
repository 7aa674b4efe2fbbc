import { parseNumberList } from "../linux/process/number-list";
import type { Config, Problem, Process } from "./config";
import { when } from "./problem";

/** Modes of memory policies that take no nodes, and modes that need some (set_mempolicy(2)). */
const WITHOUT_NODES = ["MPOL_DEFAULT", "MPOL_LOCAL"];
const NEEDS_NODES = ["MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE", "MPOL_PREFERRED_MANY"];
const REALTIME = ["SCHED_FIFO", "SCHED_RR"];
/** The least runtime of SCHED_DEADLINE, in nanoseconds (sched(7)). */
const LEAST_RUNTIME = 1024n;

type Scheduler = NonNullable<Process["scheduler"]>;
type Add = (pointer: string, message: string) => void;

/** Checks a process; pointers lead into its own document. */
export function processProblems(process: Process): Problem[] {
  const { args = [], cwd } = process;
  return [
    ...when(args.length === 0, "/args", "missing: there is no program to run"),
    ...when(!cwd.startsWith("/"), "/cwd", `expected an absolute path, got ${JSON.stringify(cwd)}`),
    ...rlimitProblems(process),
    ...schedulingProblems(process),
  ];
}

function rlimitProblems({ rlimits = [] }: Process): Problem[] {
  const seen = new Set<string>();
  return rlimits.flatMap(({ type, soft, hard }, index) => {
    const pointer = `/rlimits/${index}`;
    const twice = seen.has(type);
    seen.add(type);
    return [
      ...when(twice, `${pointer}/type`, `${type} is there twice`),
      ...when(soft > hard, `${pointer}/soft`, `${soft} is above the hard limit ${hard}`),
    ];
  });
}

/** Checks how a process is scheduled; pointers lead into its own document. */
function schedulingProblems({ scheduler, execCPUAffinity }: Process): Problem[] {
  const problems: Problem[] = [];
  const add: Add = (pointer, message) => problems.push({ pointer, message });
  if (scheduler !== undefined) {
    const { policy, priority } = scheduler;
    const realtime = REALTIME.includes(policy);
    if (!realtime && priority !== 0)
      add("/scheduler/priority", `${policy} has none: it is for ${REALTIME.join(" and ")}`);
    if (realtime && (priority < 1 || priority > 99)) {
      add("/scheduler/priority", `expected a number from 1 to 99 for ${policy}, got ${priority}`);
    }
    for (const field of ["runtime", "deadline", "period"] as const) {
      if (policy !== "SCHED_DEADLINE" && BigInt(scheduler[field]) !== 0n) {
        add(`/scheduler/${field}`, `${policy} has none: it is for SCHED_DEADLINE`);
      }
    }
    if (policy === "SCHED_DEADLINE") deadlineProblems(scheduler, add);
  }
  for (const field of ["initial", "final"] as const) {
    const list = execCPUAffinity?.[field] ?? "";
    if (list !== "" && parseNumberList(list) === undefined) {
      add(
        `/execCPUAffinity/${field}`,
        `expected a list of processors such as 0-3,7, got ${JSON.stringify(list)}`,
      );
    }
  }
  return problems;
}

/** Checks runtime <= deadline <= period, of which the period may be missing (sched(7)). The kernel only says EINVAL. */
function deadlineProblems(scheduler: Scheduler, add: Add): void {
  const [runtime, deadline, period] = (["runtime", "deadline", "period"] as const).map((field) =>
    BigInt(scheduler[field]),
  ) as [bigint, bigint, bigint];
  if (runtime < LEAST_RUNTIME) {
    add("/scheduler/runtime", `expected at least ${LEAST_RUNTIME} nanoseconds, got ${runtime}`);
  }
  if (deadline < runtime || deadline === 0n) {
    add("/scheduler/deadline", `expected at least the runtime, ${runtime}, got ${deadline}`);
  }
  if (period !== 0n && period < deadline) {
    add("/scheduler/period", `expected at least the deadline, ${deadline}, got ${period}`);
  }
}

/** Checks the program's view of the machine: personality, memory policy, clocks. */
export function machineProblems({ linux }: Config): Problem[] {
  const problems: Problem[] = [];
  const add: Add = (pointer, message) => problems.push({ pointer: `/linux${pointer}`, message });
  const { personality, memoryPolicy, timeOffsets, namespaces = [] } = linux ?? {};
  if ((personality?.flags ?? []).length > 0) add("/personality/flags/0", "no flags are supported");
  if (memoryPolicy !== undefined) memoryPolicyProblems(memoryPolicy, add);
  for (const [clock, { secs, nanosecs }] of Object.entries(timeOffsets ?? {})) {
    const isNew = namespaces.some(({ type, path }) => type === "time" && !path);
    if (!isNew && (BigInt(secs) !== 0n || nanosecs !== 0))
      add(`/timeOffsets/${clock}`, "needs a new time namespace");
  }
  return problems;
}

function memoryPolicyProblems(
  { mode, nodes = "" }: { mode: string; nodes?: string | undefined },
  add: Add,
): void {
  if (nodes !== "" && parseNumberList(nodes, 1023) === undefined) {
    add("/memoryPolicy/nodes", `expected a list of memory nodes such as 0-1, got ${JSON.stringify(nodes)}`);
  }
  if (nodes !== "" && WITHOUT_NODES.includes(mode)) add("/memoryPolicy/nodes", `${mode} takes none`);
  if (nodes === "" && NEEDS_NODES.includes(mode)) add("/memoryPolicy/nodes", `missing: ${mode} needs them`);
}
