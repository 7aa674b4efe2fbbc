// Who was born of whom.
import { readdirSync, readFileSync } from "node:fs";

/** The children of a process, of all its threads (proc_pid_children(5)); of one that has ended, none. */
export function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}
