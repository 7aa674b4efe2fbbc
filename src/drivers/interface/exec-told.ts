import type { StepName } from "../../linux/remote/failed-step";
import type { Process } from "../../oci/config";

/** Of a process that was started again: what it had told itself of the process that it has made, and what the attendant came to. */
export const EXEC_AGAIN = "HAKO_AGAIN_EXEC";

/** What an exec tells itself by the environment, for the case that its process can't execute its program. */
export interface ExecTold {
  /** This process, and the other one. */
  own: number;
  pid: number;
  /** The descriptor of the range of memory where it is written, and where in it the table of the last steps is. */
  range: number;
  table: number;
  steps: readonly StepName[];
  /** As much of it as errors name. */
  process: Process;
}

/** What it has told itself, and what the attendant came to. */
export interface ToldExec {
  told: ExecTold;
  /** A status in the attendant's digits. */
  digits: string;
}

/** The process that this one is to tell of, for it was started again with this line; undefined if the line is another process's. */
export function toldExec(line: string): ToldExec | undefined {
  const [, json = "", digits = ""] = /^(.*\})([a-p]+)$/s.exec(line) ?? [];
  if (json === "") return undefined;
  const told = JSON.parse(json) as ExecTold;
  // no other process has this one's number, whatever environment it was given
  return told.own === process.pid ? { told, digits } : undefined;
}
