import { HakoError } from "../base/errors";
import { driverOf, need } from "../drivers";
import { textOf } from "../linux/call/bytes";
import { callerVariables } from "../linux/file/caller-environment";
import { readText, statusAt } from "../linux/file/file";
import { userName } from "../linux/file/passwd";
import { findHostProgram } from "../linux/process/execute";
import type { ContainerId } from "../oci/id";
import { tableText, terminalWidth } from "../output/table";
import { readContainer } from "../state/record";

const DEFAULT_OPTIONS = ["-ef"];
const TICKS_PER_SECOND = 100;

/** The processes of a container, as the host numbers them. */
export function containerPids(root: string, id: ContainerId): number[] {
  const container = readContainer(root, id);
  const driver = driverOf(container.record);
  need(driver, "hostPids", `ps: container "${id}"`);
  return driver.processes(container);
}

/** The lines of the host's ps that are about these processes, with its heading. Without a ps, a short table of our own. */
export function processTable(pids: readonly number[], options: readonly string[]): string {
  const ps = findHostProgram("ps");
  if (ps === undefined) {
    if (options.length > 0) {
      const hint = "install procps, or leave the options out";
      throw new HakoError({
        code: "unsupported",
        message: "ps: there is no ps on this host to pass options to",
        hint,
      });
    }
    return ownTable(pids);
  }
  // it writes into a pipe: on a terminal as wide as that, unless -ww is among the options, else as wide as it wants
  const width = terminalWidth(1);
  const done = Bun.spawnSync([ps, ...(options.length === 0 ? DEFAULT_OPTIONS : options)], {
    stderr: "pipe",
    env: { ...callerVariables(), ...(width !== undefined && { COLUMNS: String(width) }) },
  });
  if (done.exitCode !== 0) {
    const said = textOf(done.stderr).trim().split("\n")[0] ?? "";
    throw new HakoError({ code: "system", message: `ps: status ${done.exitCode}: ${said}` });
  }
  return selected(textOf(done.stdout), new Set(pids));
}

/** Rows whose column PID names one of the processes. */
export function selected(table: string, pids: ReadonlySet<number>): string {
  const [heading = "", ...rows] = table.split("\n");
  const column = heading.trim().split(/\s+/).indexOf("PID");
  if (column < 0) {
    const hint = "add it to the options, as in -o pid,comm";
    throw new HakoError({ code: "usage", message: "ps: its output has no column PID", hint });
  }
  const kept = rows.filter((row) => pids.has(Number(row.trim().split(/\s+/)[column])));
  return [heading, ...kept].map((line) => `${line}\n`).join("");
}

function ownTable(pids: readonly number[]): string {
  const rows = pids.flatMap((pid) => ownRow(pid));
  return tableText(["UID", "PID", "PPID", "TIME", "CMD"], rows, terminalWidth(1));
}

/** None when it has ended meanwhile. */
function ownRow(pid: number): string[][] {
  try {
    const stat = readText(`/proc/${pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
    const words = readText(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
    const seconds = Math.floor((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND);
    const time = [seconds / 3600, (seconds / 60) % 60, seconds % 60].map((part) =>
      String(Math.floor(part)).padStart(2, "0"),
    );
    const user = userName(statusAt(`/proc/${pid}`)?.uid ?? 0);
    return [[user, String(pid), String(fields[1]), time.join(":"), words === "" ? `[${name}]` : words]];
  } catch {
    return [];
  }
}
