import { attendedTerminal, takePlace } from "../../../linux/attendant/attendant";
import type { AttendedTerminal } from "../../../linux/attendant/attendant-terminal";
import { stepName, walkedOffset } from "../../../linux/remote/failed-step";
import { type StoredTemplate, type Template, templateOf } from "../../../linux/steps/template";
import type { Process } from "../../../oci/config";
import type { EnvironmentLine } from "../../../oci/environment";
import type { Attendance } from "../../interface/driver";
import { EXEC_AGAIN, type ExecTold } from "../../interface/exec-told";
import type { BornProcess } from "../birth/born-process";
import type { ExecAttendantWord } from "./exec-attendant-rows";
import type { ExecEnd, ExecShared } from "./exec-steps";

/** Loaded on first use. */
const rare = {
  get execAttendantRows() {
    return require("./exec-attendant-rows") as typeof import("./exec-attendant-rows");
  },
};

/** Set by build.ts: the attendant without a terminal. */
declare const HAKO_EXEC_ATTENDANT: StoredTemplate<ExecAttendantWord> | undefined;

/** Longer ones are no path, and would not fit into a line of the environment. */
const LONGEST = 16_384;

/** What errors name of a process whose program has this environment. */
function toldProcess({ args, cwd, user }: Process, environment: readonly EnvironmentLine[]): Process {
  const path = environment.find((line) => line.startsWith("PATH="));
  const env = path === undefined || path.length > LONGEST ? [] : [path];
  return { args: [(args?.[0] ?? "").slice(0, LONGEST)], cwd, user, env };
}

/**
 * Leaves a process that waits to execute its program to an attendant, which takes this one's place: it lets it go, passes signals
 * on, attends the terminal, and ends as the process did. If a step has failed, this command is started again, and says
 * why (`failureTold`). Comes back only by throwing.
 */
export function leaveExec(
  born: BornProcess,
  { range, channel }: ExecShared,
  { program, steps }: ExecEnd,
  { signals, master }: Attendance,
  specified: Process,
): never {
  const { pid, remote } = born;
  const table = remote.prepared;
  const told: ExecTold = {
    ...{ own: process.pid, pid, range: range.file.number, table },
    steps: steps.map(stepName),
    process: toldProcess(specified, program.environment),
  };
  const terminal = attendedTerminal(master);
  takePlace(attendant(terminal), `${EXEC_AGAIN}=${JSON.stringify(told)}`, {
    signals,
    terminal,
    descriptors: [channel.number, range.file.number],
    fillings: {
      pid,
      channel: channel.number,
      range: range.file.number,
      offset: walkedOffset(table),
      first: steps.findIndex(({ call }) => call === "execve"),
    },
  });
}

function attendant(terminal: AttendedTerminal | undefined): Template<ExecAttendantWord> {
  if (terminal === undefined && typeof HAKO_EXEC_ATTENDANT !== "undefined")
    return templateOf(HAKO_EXEC_ATTENDANT);
  return rare.execAttendantRows.execAttendant(process.arch, terminal, terminal?.descriptors ?? []);
}
