import { O, SIG, SIGPROCMASK } from "../call/constants";
import { Fd } from "../call/fd";
import type { Step } from "../call/step";
import { syscall, syscallOn } from "../call/syscall";
import { readText } from "../file/file";
import { defaultActionStep } from "../process/execute";
import { spawnByFlagsFunction } from "./clone-code";
import type { Spawned } from "./table";
import { failureIn, tableOf, withTable } from "./table";

const SIGSET_SIZE = 8;

/**
 * A child by clone(2), where clone3 is hidden. What clone3 would do for the child is done by steps in front of the others: it
 * enters its cgroup, by a list of processes that hako has opened with its own rights, and resets the handlers of signals. Until
 * then all signals are blocked, in hako too.
 */
export function spawnByClone(
  report: number,
  steps: readonly Step[],
  flags: bigint,
  cgroup: Fd | undefined,
): Spawned {
  using processes = cgroup === undefined ? undefined : openProcesses(cgroup);
  const mask = new BigUint64Array(1);
  syscall("rt_sigprocmask", SIGPROCMASK.SIG_BLOCK, new BigUint64Array([2n ** 64n - 1n]), mask, SIGSET_SIZE);
  try {
    const before: Step[] = [
      ...handledSignals().map(defaultActionStep),
      {
        what: "rt_sigprocmask",
        call: "rt_sigprocmask",
        args: [SIGPROCMASK.SIG_SETMASK, mask, 0, SIGSET_SIZE],
      },
      ...(processes === undefined ? [] : [joinStep(processes)]),
    ];
    const table = tableOf(report, [...before, ...steps], undefined, -before.length);
    const pid = withTable(table, (at) => spawnByFlagsFunction()(at, Number(flags | BigInt(SIG.CHLD)), 0));
    return { pid, failed: failureIn(table) };
  } finally {
    syscall("rt_sigprocmask", SIGPROCMASK.SIG_SETMASK, mask, null, SIGSET_SIZE);
  }
}

/** A v2 cgroup's list of processes, to write. */
function openProcesses(cgroup: Fd): Fd {
  const name = `${cgroup.name ?? "cgroup"}/cgroup.procs`;
  return new Fd(syscallOn(name, "openat", cgroup.number, "cgroup.procs", O.WRONLY | O.CLOEXEC, 0), name);
}

function joinStep(processes: Fd): Step {
  return {
    what: `write ${processes.name}`,
    call: "write",
    args: [processes.number, "0", 1],
    success: { atLeast: 1 },
  };
}

/** Signals for which this process has handlers (proc_pid_status(5)). */
function handledSignals(): number[] {
  const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readText("/proc/self/status"))?.[1] ?? "0";
  const mask = BigInt(`0x${caught}`);
  return Array.from({ length: SIG.RTMAX }, (_, index) => index + 1).filter(
    (signal) => (mask >> BigInt(signal - 1)) & 1n,
  );
}
