import { hasErrno, readText, statusAt } from "../file/file";

/** USER_HZ: 100 on all of Linux's ABIs that hako runs on. */
const TICKS_PER_SECOND = 100;

/** A process as a line of ps tells it. */
export interface ProcessRow {
  pid: number;
  /** 0: none that has a number there. */
  parent: number;
  uid: number;
  /** Of processors. */
  seconds: number;
  /** Its arguments, or its name in brackets. */
  command: string;
}

/** What procfs has of a process (proc_pid_stat(5)); undefined when there is no such process, or none that this user may see. */
export function processRow(pid: number): ProcessRow | undefined {
  try {
    const stat = readText(`/proc/${pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
    const words = readText(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
    return {
      ...{ pid, parent: Number(fields[1]), uid: statusAt(`/proc/${pid}`)?.uid ?? 0 },
      seconds: Math.floor((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND),
      command: words === "" ? `[${name}]` : words,
    };
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESRCH", "EACCES", "EPERM")) return undefined;
    throw error;
  }
}

/** The number that a process has in its own pid namespace (proc_pid_status(5), NSpid); undefined when there is no such process. */
export function innerPid(pid: number): number | undefined {
  try {
    const [, numbers = ""] = /^NSpid:(.*)$/m.exec(readText(`/proc/${pid}/status`)) ?? [];
    return Number(numbers.trim().split(/\s+/).at(-1));
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}
