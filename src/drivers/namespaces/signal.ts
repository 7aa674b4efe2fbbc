import type { Cgroup } from "../../cgroup";
import { loadCgroup } from "../../cgroup/group/stored";
import { SIG } from "../../linux/call/constants";
import { signalProcess } from "../../linux/process/process";
import { signalListed } from "../../linux/process/signal-listed";
import type { Container } from "../../state/record";
import { relatives } from "./processes";
import { status } from "./status";

/** Sends a signal to the first process of a container, or to all of its processes; false if no process is there. */
export function signalProcesses(container: Container, signal: number, to: "first" | "all"): boolean {
  const { init, ownPidNamespace, cgroup } = container.record;
  // without a pid namespace nothing ends the others when the first one ends
  if (cgroup !== undefined && (to === "all" || (signal === SIG.KILL && !ownPidNamespace))) {
    if (signalAll(loadCgroup(cgroup), signal)) return true;
    // in a cgroup that it had to go without, its relatives tell
  }
  if (to === "all" && (signal !== SIG.KILL || !ownPidNamespace))
    return signalListed(() => relatives(container.record), signal);
  const now = status(container);
  if (init === undefined || now === "stopped") return false;
  if (!signalProcess(init.pid, init.startTime, signal)) return false;
  // a frozen process does not even die
  if (signal === SIG.KILL && now === "paused" && cgroup !== undefined) loadCgroup(cgroup).thaw();
  return true;
}

function signalAll(cgroup: Cgroup, signal: number): boolean {
  if (cgroup.pids().length === 0) return false;
  if (signal === SIG.KILL) cgroup.kill();
  else cgroup.signal(signal);
  return true;
}
