import type { CgroupEntry } from "../cgroup";
import { loadCgroup } from "../cgroup/stored";
import type { ProcessRecord } from "../container/record";
import { applyScheduler } from "../init/attributes";
import { withPossibleGroups } from "../init/groups";
import { spawnExec } from "../init/spawn-exec";
import type { UndoStack } from "../undo";
import type { ExecPlan } from "./driver";

const NO_ENTRY: CgroupEntry = { born: undefined, self: [], others: [] };

/** Starts a process beside the first; `ready` is called with it right before it executes its program. */
export function execInNamespaces(
  plan: ExecPlan,
  ready: (process: ProcessRecord) => void,
  undo: UndoStack,
): ProcessRecord {
  const { cgroup: record, cgroups, init, consoleSocket, listener, ...rest } = plan;
  const process = plan.keepsGroups ? plan.process : withPossibleGroups(plan.process, init.pid, plan.warn);
  const cgroup = record === undefined ? undefined : loadCgroup(record);
  const entry = cgroup?.entry(cgroup.subCgroups(cgroups)) ?? NO_ENTRY;
  // what is done from outside is done before it executes its program
  const needsUs = entry.others.length > 0 || plan.process.scheduler !== undefined;
  const attendance = needsUs ? undefined : plan.attendance;
  const made = spawnExec({ ...rest, ...init, process, entry, consoleSocket, attendance });
  undo.defer("its process", () => made[Symbol.dispose]());
  const { pid, startTime } = made;
  cgroup?.joinOthers(pid, entry, init.pid);
  applyScheduler(plan.process, pid);
  ready({ pid, startTime });
  made.release(listener);
  return { pid, startTime };
}
