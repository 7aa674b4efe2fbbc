import { asHakoError, HakoError } from "../base/errors";
import type { Cgroup } from "../cgroup";
import { loadCgroup } from "../cgroup/group/stored";
import { signalProcess } from "../linux/process/process";
import { leadsSandbox } from "../oci/container-type";
import type { ContainerId } from "../oci/id";
import { MappingStore } from "../state/mapping";
import { type ContainerRecord, readRecord, statusOf } from "../state/record";

const SIGKILL = 9;
const SIGTERM = 15;

export interface KillOptions {
  root: string;
  id: ContainerId;
  signal: number;
  /** All processes, not the first one alone. */
  all: boolean;
}

/**
 * Sends a signal to the container's first process, or to all of its processes (runtime.md "Kill"). What asks a sandbox
 * container to end asks all containers of its sandbox.
 */
export function killContainer({ root, id, signal, all }: KillOptions): void {
  const record = readRecord(root, id);
  // containerd reads "container not running"
  if (!signalContainer(root, record, signal, all)) {
    const message = `container "${id}": container not running: ${statusOf(root, record)}`;
    throw new HakoError({ code: "state", message });
  }
  if ((signal !== SIGTERM && signal !== SIGKILL) || !leadsSandbox(record)) return;
  let failure: HakoError | undefined;
  for (const other of new MappingStore(root).othersOf(record)) {
    try {
      signalContainer(root, readRecord(root, other), signal, all);
    } catch (thrown) {
      const error = asHakoError(thrown);
      // deleted meanwhile
      if (error.code !== "not-found") failure ??= error;
    }
  }
  if (failure !== undefined)
    throw new HakoError({ code: failure.code, message: `sandbox "${record.sandbox}"`, cause: failure });
}

/** False if there is no process to be sent it; with `all` that is as good. */
function signalContainer(root: string, record: ContainerRecord, signal: number, all: boolean): boolean {
  const status = statusOf(root, record);
  // without a pid namespace nothing ends the others when the first one ends
  if (all || (signal === SIGKILL && !record.ownPidNamespace)) {
    const cgroup = record.cgroup === undefined ? undefined : loadCgroup(record.cgroup);
    if (cgroup !== undefined && cgroup.pids().length > 0) {
      signalAll(cgroup, signal);
      return true;
    }
    // of a container without a cgroup, a rootless one, no process is known but the first
    if (all && status === "stopped") return true;
  }
  const { init } = record;
  if (init === undefined || status === "stopped") return false;
  if (!signalProcess(init.pid, init.startTime, signal)) return false;
  // a frozen process does not even die
  if (signal === SIGKILL && status === "paused" && record.cgroup !== undefined)
    loadCgroup(record.cgroup).thaw();
  return true;
}

function signalAll(cgroup: Cgroup, signal: number): void {
  if (signal === SIGKILL) {
    cgroup.kill();
    return;
  }
  cgroup.signal(signal);
}
