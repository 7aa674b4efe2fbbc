import type { UndoStack } from "../../base/undo";
import type { CgroupEntry } from "../../cgroup";
import { loadCgroup } from "../../cgroup/group/stored";
import type { ProcessRecord } from "../../state/record";
import type { ExecPlan } from "../driver";
import { withPossibleGroups } from "./birth/groups";
import type { Attendance } from "./exec/attended-exec";
import { spawnExec } from "./exec/spawn-exec";
import { applyScheduler } from "./program/attributes";

const NO_ENTRY: CgroupEntry = { born: undefined, self: [], others: [] };

/** Starts a process beside the first; `ready` is called with it right before it executes its program. */
export function execInNamespaces(
  plan: ExecPlan,
  ready: (process: ProcessRecord) => Attendance | undefined,
  undo: UndoStack,
): ProcessRecord {
  const { cgroup: record, cgroups, init, consoleSocket, listener, ...rest } = plan;
  const process = plan.keepsGroups ? plan.process : withPossibleGroups(plan.process, init.pid);
  const cgroup = record === undefined ? undefined : loadCgroup(record);
  const entry = cgroup?.entry(cgroup.subCgroups(cgroups)) ?? NO_ENTRY;
  const made = spawnExec({ ...rest, ...init, process, entry, consoleSocket });
  undo.defer("its process", () => made[Symbol.dispose]());
  const { pid } = made;
  // what is done from outside is done before it executes its program
  cgroup?.joinOthers(pid, entry, init.pid);
  applyScheduler(plan.process, pid);
  const attendance = ready(made);
  if (attendance !== undefined) made.leave(attendance, process);
  made.release(listener);
  return { pid, startTime: made.startTime };
}
