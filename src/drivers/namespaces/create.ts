import { during } from "../../base/errors";
import type { UndoStack } from "../../base/undo";
import type { Cgroup, CgroupRecord } from "../../cgroup";
import { cgroupOfConfig } from "../../cgroup/group/of-config";
import { cgroupOwner } from "../../cgroup/group/ownership";
import { plannedRecord } from "../../cgroup/group/stored";
import type { Fd } from "../../linux/call/fd";
import { unixListen } from "../../linux/file/unix-socket";
import type { SeccompFilter } from "../../linux/process/filter-steps";
import { landlockAbi } from "../../linux/process/landlock";
import { getLimit, setLimit } from "../../linux/process/rlimit";
import type { Config } from "../../oci/config";
import { hasNamespace } from "../../oci/namespaces";
import { logDebug } from "../../output/log";
import type { IntelRdt, ResctrlRecord } from "../../resctrl/resctrl";
import { containerDirectory } from "../../state/root";
import { makeFilter } from "../../state/stored-filter";
import type { CreateEvents, CreatePlan } from "../interface/driver";
import { awaitProgram, type Becoming, checkProgram, rootOf } from "./becoming";
import { joinsCgroupsFirst } from "./birth/cgroup-order";
import { SetUp } from "./set-up";
import { startSocketPath } from "./status";

/** Loaded on first use. */
const rare = {
  get networkDevices() {
    return require("./network-devices") as typeof import("./network-devices");
  },
  get resctrl() {
    return require("../../resctrl/resctrl") as typeof import("../../resctrl/resctrl");
  },
  get hostMounts() {
    return require("../../state/host-mounts") as typeof import("../../state/host-mounts");
  },
  get explainDeath() {
    return require("../../explain/death") as typeof import("../../explain/death");
  },
};

/**
 * Makes a container up to "created", or where it may and nothing comes between up to "running": whether it runs. What must be undone
 * if anything fails goes to `undo`.
 */
export function createInNamespaces(plan: CreatePlan, events: CreateEvents, undo: UndoStack): boolean {
  const { config, id } = plan;
  const runs = plan.mayRun && isFreeToRun(config);
  if (!hasNamespace(config, "mount")) planHostMounts(plan, events, undo);
  using startSocket = runs ? undefined : unixListen(startSocketPath(plan.root, id));
  const cgroup = cgroupOfConfig(plan.cgroupManager, config, id);
  undo.defer(`cgroups of ${id}`, () => cgroup.destroy());
  const landlock = plan.landlocked ? landlockAbi() : undefined;
  events.made({ cgroup: plannedRecord(cgroup), ...(landlock === undefined ? {} : { landlock }) });
  cgroup.createUnified();
  const first = joinsCgroupsFirst(config);
  // whoever else changes cgroups meanwhile, the process is born in one or joins it
  const entry = cgroup.entry();
  const making = setUp(plan, startSocket, cgroup, entry.born);
  const { pid, startTime } = making.process;
  undo.defer(`process of ${id}`, () => making[Symbol.dispose]());
  cgroup.createOthers();
  logDebug(`${id}: process ${pid} in its namespaces, cgroups ${JSON.stringify(cgroup.paths)}`);
  // it stays outside of the limits, which are for the program, as long as it can
  events.made({ init: { pid, startTime }, cgroup: cgroup.record });
  if (config.linux?.netDevices !== undefined) {
    making.settle();
    rare.networkDevices.moveNetDevices(config, pid, undo);
  }
  during("config /linux/resources", () => cgroup.apply(config.linux?.resources ?? {}));
  if (config.linux?.intelRdt !== undefined) joinResctrlGroups(config.linux.intelRdt, id, pid, events, undo);
  undo.defer(`processes of ${id}`, () => cgroup.kill());
  const join = () => {
    cgroup.joinOthers(pid, entry);
    making.joinCgroups(cgroup.ownLists());
  };
  if (first) join();
  const mounts = cgroup.mounts();
  making.mount(mounts.hierarchies.length === 0 ? undefined : mounts);
  if (making.weaker.length > 0) events.made({ weaker: making.weaker });
  logDebug(`${id}: root file system mounted`);
  events.runtimeCreated();
  raiseHardLimits(pid, config);
  const owner = cgroupOwner(config);
  if (owner !== undefined && owner !== 0) during("cgroup ownership", () => cgroup.giveTo(owner));
  making.enter();
  logDebug(`${id}: root file system entered`);
  events.meanwhile();
  if (!first) join();
  const filter = makeFilter(plan.root, id, config, plan.filter);
  making.identify(filter);
  // it may have been born anew
  const { process } = making;
  if (process.pid !== pid) {
    const init = { pid: process.pid, startTime: process.startTime };
    events.made({ init, cgroup: cgroup.record });
  }
  cgroup.settle();
  logDebug(`${id}: in its cgroups, with its identity`);
  events.created();
  if (runs) run(plan, making, events, cgroup.record, filter);
  else making.leaveToStart();
  logDebug(`${id}: ${runs ? "started" : "waits for start"}`);
  return runs;
}

function joinResctrlGroups(
  rdt: IntelRdt,
  id: string,
  pid: number,
  events: CreateEvents,
  undo: UndoStack,
): void {
  const { joinResctrl, removeGroups } = rare.resctrl;
  const made: ResctrlRecord = [];
  undo.defer(`resctrl groups of ${id}`, () => removeGroups(made));
  try {
    joinResctrl(rdt, id, pid, made);
  } finally {
    events.made({ resctrl: made });
  }
}

/**
 * Whether the first process needs nobody between its making and its program: no startContainer hook, and it isn't born last, in a pid
 * namespace that it joins, where it has no socket to its maker any more.
 */
function isFreeToRun({ hooks, linux }: Config): boolean {
  const joinsPid = linux?.namespaces?.some(({ type, path }) => type === "pid" && path) === true;
  return (hooks?.startContainer ?? []).length === 0 && !joinsPid;
}

/** Has a first process execute its program, and comes back when it has. */
function run(
  { id, config, state }: CreatePlan,
  making: SetUp,
  events: CreateEvents,
  cgroup: CgroupRecord,
  filter: SeccompFilter | undefined,
): void {
  const { pid, startTime } = making.process;
  const init = { pid, startTime };
  using rootfs = rootOf(init);
  making.execute((connection, range) => {
    const becoming: Becoming = {
      ...{ id, init, cgroup, connection, filter },
      config: () => config,
      state: () => ({ ...state, status: "created", pid }),
    };
    events.becoming?.();
    awaitProgram(becoming);
    checkProgram(becoming, range, rootfs);
  });
}

/** Without a mount namespace its mounts are the host's: what has to be unmounted with the container. */
function planHostMounts({ id, rootfs }: CreatePlan, events: CreateEvents, undo: UndoStack): void {
  const { plannedHostMounts, removeHostMounts } = rare.hostMounts;
  const hostMounts = plannedHostMounts(rootfs);
  events.made({ hostMounts });
  undo.defer(`mounts of ${id}`, () => removeHostMounts(hostMounts));
}

function setUp(
  plan: CreatePlan,
  startSocket: Fd | undefined,
  cgroup: Cgroup,
  born: string | undefined,
): SetUp {
  return new SetUp({
    ...plan,
    directory: containerDirectory(plan.root, plan.id),
    startSocket,
    born,
    explainEnd(signal) {
      return rare.explainDeath.explainEnd({ signal, cgroup: cgroup.record });
    },
  });
}

/**
 * Hard limits above ours are raised from outside, where we have the right to; the limits themselves are set right before
 * the program is executed, for they would hold for the process until then too.
 */
function raiseHardLimits(pid: number, config: Config): void {
  (config.process?.rlimits ?? []).forEach(({ type, hard }, index) => {
    const wanted = BigInt(hard);
    const now = getLimit(pid, type);
    if (wanted <= now.hard) return;
    during(`config /process/rlimits/${index}`, () => setLimit(pid, type, { soft: now.soft, hard: wanted }));
  });
}
