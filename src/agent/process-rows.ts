import { shortened } from "../base/printable";
import { type AgentAnswer, LONGEST_COMMAND } from "../drivers/vm/channel/agent-protocol";
import { innerPid, processRow } from "../linux/process/process-row";

/** Letters of command lines in one answer: with what is between them, and all of them escaped, no line is too long (json-lines.ts). */
const MOST_LETTERS = 100_000;
const LETTERS = LONGEST_COMMAND - 100;
const MOST_ROWS = 1000;

/** Rows of some processes with the numbers that these have in their own pid namespace, in the order of these, for those above one. */
export function rowsAfter(pids: readonly number[], after: number): AgentAnswer<"processes"> {
  const inner = new Map(pids.map((pid) => [pid, innerPid(pid)]));
  const numbered = [...inner].flatMap(([pid, number]) => (number === undefined ? [] : [{ pid, number }]));
  const wanted = numbered.filter(({ number }) => number > after).sort((a, b) => a.number - b.number);
  const processes: AgentAnswer<"processes">["processes"] = [];
  let letters = 0;
  for (const { pid, number } of wanted) {
    if (processes.length >= MOST_ROWS || letters >= MOST_LETTERS) return { processes, more: true };
    const row = processRow(pid);
    if (row === undefined) continue;
    const command = shortened(row.command, LETTERS);
    processes.push({ ...row, pid: number, parent: inner.get(row.parent) ?? 0, command });
    letters += command.length;
  }
  return { processes, more: false };
}
