import type { Cgroup } from "../cgroup";
import { loadCgroup } from "../cgroup/stored";
import { HakoError } from "../errors";
import { signalProcess } from "../linux/process";
import type { ContainerId } from "./id";
import { readRecord, statusOf } from "./record";

const SIGKILL = 9;

/** Sends a signal to the container's first process, or to all of its processes (runtime.md "Kill"). */
export function killContainer(root: string, id: ContainerId, signal: number, all: boolean): void {
  const record = readRecord(root, id);
  const status = statusOf(root, record);
  // without a pid namespace nothing ends the others when the first one ends
  if (all || (signal === SIGKILL && !record.ownPidNamespace)) {
    const cgroup = record.cgroup === undefined ? undefined : loadCgroup(record.cgroup);
    if (cgroup !== undefined && cgroup.pids().length > 0) {
      signalAll(cgroup, signal);
      if (all || status !== "stopped") return;
    }
    // of a container without a cgroup, a rootless one, no process is known but the first
    if (all && status === "stopped") return;
  }
  const { init } = record;
  // containerd reads "container not running"
  const gone = new HakoError({
    code: "state",
    message: `container "${id}": container not running: ${status}`,
  });
  if (init === undefined || status === "stopped") throw gone;
  if (!signalProcess(init.pid, init.startTime, signal)) throw gone;
  // a frozen process does not even die
  if (signal === SIGKILL && status === "paused" && record.cgroup !== undefined)
    loadCgroup(record.cgroup).thaw();
}

function signalAll(cgroup: Cgroup, signal: number): void {
  if (signal === SIGKILL) {
    cgroup.kill();
    return;
  }
  cgroup.signal(signal);
}
