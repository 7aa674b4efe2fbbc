import { HakoError } from "../../base/errors";
import { loadCgroup } from "../../cgroup/group/stored";
import { SIG } from "../../linux/call/constants";
import { signalProcess, waitForEnd } from "../../linux/process/process";
import type { ContainerRecord } from "../../state/record";

/** Loaded on first use. */
const rare = {
  get processes() {
    return require("./processes") as typeof import("./processes");
  },
  get hostMounts() {
    return require("../../state/host-mounts") as typeof import("../../state/host-mounts");
  },
  get resctrl() {
    return require("../../resctrl/resctrl") as typeof import("../../resctrl/resctrl");
  },
};

const SHORT_WAIT_MS = 100;
const END_WAIT_MS = 10_000;

/** Ends all processes of a container, and waits until they are gone. */
export function endProcesses(record: ContainerRecord): void {
  const { init } = record;
  const cgroup = record.cgroup === undefined ? undefined : loadCgroup(record.cgroup);
  if (init !== undefined) {
    // also one whose main thread alone has ended: its others live on, and keep the cgroup busy
    signalProcess(init.pid, init.startTime, SIG.KILL, true);
    // one that is frozen, in a cgroup of its own below ours or in another's perhaps, has to be thawed to die
    if (!waitForEnd(init.pid, init.startTime, SHORT_WAIT_MS) && cgroup !== undefined) {
      cgroup.takeBack(rare.processes.relatives(record));
      cgroup.kill();
    }
    if (!waitForEnd(init.pid, init.startTime, END_WAIT_MS)) {
      throw new HakoError({
        code: "state",
        message: `container "${record.id}": process ${init.pid} does not die`,
        hint: "it may wait for a device (state D in ps)",
      });
    }
  }
  // the end of a pid namespace's first process has ended all others
  if (init === undefined || !record.ownPidNamespace) cgroup?.kill();
}

/** Removes cgroups, directories of resctrl, and mounts on the host that were made for a container. */
export function removeMade({ hostMounts, resctrl, cgroup }: ContainerRecord): void {
  if (hostMounts !== undefined) {
    rare.hostMounts.removeHostMounts(hostMounts);
  }
  if (resctrl !== undefined) {
    rare.resctrl.removeGroups(resctrl);
  }
  if (cgroup !== undefined) loadCgroup(cgroup).destroy();
}
