import type { UndoStack } from "../../base/undo";
import type { CgroupEntry } from "../../cgroup";
import { loadCgroup } from "../../cgroup/group/stored";
import { hasListener } from "../../linux/process/filter-steps";
import { keepsGroups } from "../../oci/groups";
import { stateOf } from "../../state/record";
import { storedFilter } from "../../state/stored-filter";
import type { ExecPlan, Ready } from "../interface/driver";
import { ExecutedProcess } from "../interface/executed-process";
import type { LivingContainer } from "../interface/living";
import { withMappedGroups } from "./birth/additional-groups";
import { spawnExec } from "./exec/spawn-exec";
import { passListener } from "./filter-listener";
import { applyScheduler } from "./program/attributes";

/** Loaded on first use. */
const rare = {
  get gatheredExec() {
    return require("./exec/gathered-exec") as typeof import("./exec/gathered-exec");
  },
};

const NO_ENTRY: CgroupEntry = { born: undefined, self: [], others: [] };

/** Starts a process beside the first; `ready` is called with it right before it executes its program. */
export function execInNamespaces(
  container: LivingContainer,
  plan: ExecPlan,
  ready: Ready,
  undo: UndoStack,
): ExecutedProcess {
  const { root, record, init, pidfd, rootfs, config } = container;
  const { id, noNewKeyring } = record;
  const keeps = keepsGroups(config);
  const process = keeps ? plan.process : withMappedGroups(plan.process, init.pid);
  const cgroup = record.cgroup === undefined ? undefined : loadCgroup(record.cgroup);
  const entry = cgroup?.entry(cgroup.subCgroups(plan.cgroups)) ?? NO_ENTRY;
  const filter = storedFilter(root, id);
  const made = spawnExec({
    ...plan,
    ...{ id, pid: init.pid, pidfd, rootfs, process, linux: config.linux, filter, noNewKeyring, entry },
    keepsGroups: keeps,
  });
  undo.defer("its process", () => made[Symbol.dispose]());
  const { pid } = made;
  // what is done from outside is done before it executes its program
  cgroup?.joinOthers(pid, entry, init.pid);
  applyScheduler(plan.process, pid);
  const gathered = plan.gathers
    ? new rare.gatheredExec.GatheredExec(made, made.takeNamespace(), init)
    : undefined;
  if (gathered !== undefined) undo.defer("its namespace", () => gathered[Symbol.dispose]());
  // the listener of a filter comes when it has been let go
  const attendance = ready(made, filter === undefined || !hasListener(filter));
  if (attendance !== undefined) made.leave(attendance, process);
  made.release((fd) => passListener(fd, config, init.pid, stateOf(record, "running")));
  gathered?.warnIfHidden();
  return gathered ?? new ExecutedProcess(made);
}
