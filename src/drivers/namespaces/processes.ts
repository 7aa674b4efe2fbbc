import type { Cgroup } from "../../cgroup";
import { loadCgroup } from "../../cgroup/group/stored";
import { listNames } from "../../linux/file/file";
import { visibleNamespace } from "../../linux/process/namespace";
import { aliveProcess, processStatus } from "../../linux/process/process";
import type { ContainerRecord } from "../../state/record";

/**
 * The processes of a container as the host numbers them: those in its cgroups. Without cgroups, those in its pid namespace and all
 * that descend from its first process; of others, as of an exec into a shared pid namespace, nothing tells.
 */
export function processesOf(record: ContainerRecord): number[] {
  const cgroup = ownCgroup(record);
  return cgroup === undefined ? relatives(record) : cgroup.pids();
}

/** undefined where the container had to go without cgroups: its processes are in its caller's. */
function ownCgroup({ cgroup }: ContainerRecord): Cgroup | undefined {
  const made = cgroup?.nodes.some(({ skipped }) => skipped === undefined) === true;
  return cgroup === undefined || !made ? undefined : loadCgroup(cgroup);
}

/** The processes of a container by pid namespace and parents; none after the end of the first process. */
export function relatives({ init, ownPidNamespace }: ContainerRecord): number[] {
  if (init === undefined || aliveProcess(init.pid, init.startTime) === undefined) return [];
  const own = ownPidNamespace ? visibleNamespace(init.pid, "pid") : undefined;
  const parents = new Map<number, number>();
  const found = new Set([init.pid]);
  for (const name of listNames("/proc")) {
    const pid = Number(name);
    const status = Number.isInteger(pid) ? processStatus(pid) : undefined;
    if (status === undefined || "ZX".includes(status.state)) continue;
    parents.set(pid, status.parent);
    if (own !== undefined && visibleNamespace(pid, "pid") === own) found.add(pid);
  }
  for (const pid of parents.keys()) {
    const line = new Set<number>();
    let each = pid;
    for (; each > 0 && !found.has(each) && !line.has(each); each = parents.get(each) ?? 0) line.add(each);
    if (found.has(each)) for (const descendant of line) found.add(descendant);
  }
  return [...found].sort((a, b) => a - b);
}
