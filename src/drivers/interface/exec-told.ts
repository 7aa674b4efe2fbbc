import type { StepName } from "../../linux/remote/failed-step";
import type { Process } from "../../oci/config";

/** The variable by which an `exec` that its attendant starts again learns what it had made before, and what the attendant found. */
export const EXEC_AGAIN = "HAKO_AGAIN_EXEC";

/** What an `exec` leaves for itself in case its process can't execute the program. */
export interface ExecTold {
  /** The pids of this process, and of the one that it has made. */
  own: number;
  pid: number;
  /** The descriptor of the shared range of memory in which the process writes how its steps end, and the offset of their table there. */
  range: number;
  table: number;
  steps: readonly StepName[];
  /** As much of the process object as errors name. */
  process: Process;
}

/** What such a hako was left, and what the attendant found. */
export interface ToldExec {
  told: ExecTold;
  /** A status in the attendant's digits. */
  digits: string;
}

/** Reads the variable's value; undefined if another process has left it. */
export function toldExec(line: string): ToldExec | undefined {
  const [, json = "", digits = ""] = /^(.*\})([a-p]+)$/s.exec(line) ?? [];
  if (json === "") return undefined;
  const told = JSON.parse(json) as ExecTold;
  // no other process has this one's number, whatever environment it was given
  return told.own === process.pid ? { told, digits } : undefined;
}
