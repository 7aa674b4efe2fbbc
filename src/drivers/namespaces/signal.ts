import type { Cgroup } from "../../cgroup";
import { loadCgroup } from "../../cgroup/group/stored";
import { SIG } from "../../linux/call/constants";
import { tryReadText } from "../../linux/file/file";
import { processStatus, signalProcess } from "../../linux/process/process";
import { signalListed } from "../../linux/process/signal-listed";
import type { Container, ProcessRecord } from "../../state/record";
import { relatives } from "./processes";
import { status } from "./status";

/** Sends a signal to the first process of a container, or to all of its processes; false if no process is there. */
export function signalProcesses(container: Container, signal: number, to: "first" | "all"): boolean {
  const { init, ownPidNamespace, cgroup, ownInit = false } = container.record;
  // hako's own first process: the program would get twice what all get
  const passesOn = ownInit === true ? init?.pid : undefined;
  // without a pid namespace nothing ends the others when the first one ends
  if (cgroup !== undefined && (to === "all" || (signal === SIG.KILL && !ownPidNamespace))) {
    if (signalAll(loadCgroup(cgroup), signal, passesOn)) return true;
    // in a cgroup that it had to go without, its relatives tell
  }
  if (to === "all" && (signal !== SIG.KILL || !ownPidNamespace))
    return signalListed(() => relatives(container.record).filter((pid) => pid !== passesOn), signal);
  const now = status(container);
  if (init === undefined || now === "stopped") return false;
  // nobody can pass this one on
  const target = ownInit === true && signal === SIG.STOP ? programOf(init) : init;
  if (!signalProcess(target.pid, target.startTime, signal)) return false;
  // a frozen process does not even die
  if (signal === SIG.KILL && now === "paused" && cgroup !== undefined) loadCgroup(cgroup).thaw();
  return true;
}

/** The program, which is the first child of a first process of hako's; that process itself where the kernel doesn't tell. */
function programOf(init: ProcessRecord): ProcessRecord {
  const [first] = (tryReadText(`/proc/${init.pid}/task/${init.pid}/children`) ?? "").split(" ");
  const pid = Number(first);
  const startTime = pid > 0 ? processStatus(pid)?.startTime : undefined;
  return startTime === undefined ? init : { pid, startTime };
}

function signalAll(cgroup: Cgroup, signal: number, but: number | undefined): boolean {
  if (cgroup.pids().length === 0) return false;
  if (signal === SIG.KILL) cgroup.kill();
  else cgroup.signal(signal, but);
  return true;
}
