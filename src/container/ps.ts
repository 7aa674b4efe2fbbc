import { HakoError } from "../base/errors";
import { driverOf } from "../drivers";
import { textOf } from "../linux/call/bytes";
import { callerVariables } from "../linux/file/caller-environment";
import { userName } from "../linux/file/passwd";
import { findHostProgram } from "../linux/process/execute";
import { type ProcessRow, processRow } from "../linux/process/process-row";
import type { ContainerId } from "../oci/id";
import { tableText, terminalWidth } from "../output/table";
import { readContainer } from "../state/record";

const DEFAULT_OPTIONS = ["-ef"];

/** The processes of a container that have a number on the host. */
export function containerPids(root: string, id: ContainerId): number[] {
  const container = readContainer(root, id);
  return driverOf(container.record).processes(container);
}

/** A table of a container's processes: the host's ps with these options, or where it sees none of them a short one of our own. */
export function containerTable(root: string, id: ContainerId, options: readonly string[]): string {
  const container = readContainer(root, id);
  const rows = driverOf(container.record).unseenProcesses(container);
  if (rows === undefined) return processTable(containerPids(root, id), options);
  if (options.length === 0 || options.join(" ") === DEFAULT_OPTIONS.join(" ")) return tableOf(rows);
  throw new HakoError({
    code: "unsupported",
    message: "ps: the host's ps, which has options, sees no process of a machine",
    hint: `hako exec ${id} ps ${options.join(" ")}, if the container has a ps`,
  });
}

/** The lines of the host's ps that are about these processes, with its heading. Without a ps, a short table of our own. */
function processTable(pids: readonly number[], options: readonly string[]): string {
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
    return tableOf(pids.flatMap((pid) => processRow(pid) ?? []));
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

/** A short table of processes, with their whole command lines where no terminal is too narrow for that. */
function tableOf(rows: readonly ProcessRow[]): string {
  const cells = rows.map(({ uid, pid, parent, seconds, command }) => {
    const time = [seconds / 3600, (seconds / 60) % 60, seconds % 60].map((part) =>
      String(Math.floor(part)).padStart(2, "0"),
    );
    return [userName(uid), String(pid), String(parent), time.join(":"), command];
  });
  return tableText(["UID", "PID", "PPID", "TIME", "CMD"], cells, terminalWidth(1));
}
