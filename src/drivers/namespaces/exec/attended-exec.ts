import { ATTENDANT, executeInPlace, HeldSignals } from "../../../linux/attendant/attendant";
import type { AttendedTerminal } from "../../../linux/attendant/attendant-terminal";
import type { Fd } from "../../../linux/call/fd";
import { stepName, walkedOffset } from "../../../linux/remote/failed-step";
import { filledIn, RowProgram, type Template } from "../../../linux/steps/row-program";
import type { Process } from "../../../oci/config";
import type { BornProcess } from "../birth/born-process";
import { type ExecAttendantWords, execAttendantWords } from "./exec-attendant-words";
import type { ExecEnd, ExecShared } from "./exec-process";
import { EXEC_AGAIN, type ExecTold } from "./exec-told";

/** Set by build.ts: what needs no terminal, assembled. */
declare const HAKO_EXEC_ATTENDANT: Template | undefined;

const SIGCHLD = 17;

/** Who takes the place of this process while the program runs. */
export interface Attendance {
  /** Signals that the program gets in its stead. */
  signals: readonly number[];
  /** The terminal that is to be connected to our standard streams. */
  master: Fd | undefined;
}

/** Longer ones are no path, and would not fit into a line of the environment. */
const LONGEST = 16_384;

/** What errors name of a process whose program has this environment. */
function toldProcess({ args, cwd, user }: Process, environment: readonly string[]): Process {
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
  const terminal = master === undefined ? undefined : terminalOf(master);
  const { mask, signals: held } = new HeldSignals([...signals, SIGCHLD, ...(terminal?.signals ?? [])]);
  const descriptors = terminal?.descriptors ?? [];
  executeInPlace(
    `${EXEC_AGAIN}=${JSON.stringify(told)}`,
    [channel.number, range.file.number, ...descriptors],
    (way) => {
      const words = execAttendantWords({
        ...way,
        ...{ pid, mask, signals: held },
        channel: channel.number,
        range: range.file.number,
        offset: walkedOffset(table),
        first: steps.findIndex(({ call }) => call === "execve"),
      });
      return attendant(words, terminal, descriptors);
    },
  );
}

/** Loaded for those who have one. */
function terminalOf(master: Fd): AttendedTerminal {
  const part =
    require("../../../linux/attendant/attendant-terminal") as typeof import("../../../linux/attendant/attendant-terminal");
  return new part.AttendedTerminal(master);
}

function attendant(
  words: ExecAttendantWords,
  terminal: AttendedTerminal | undefined,
  descriptors: readonly number[],
): Fd {
  if (terminal === undefined && typeof HAKO_EXEC_ATTENDANT !== "undefined")
    return filledIn(ATTENDANT, HAKO_EXEC_ATTENDANT, words);
  const { execAttendantRows } = require("./exec-attendant-rows") as typeof import("./exec-attendant-rows");
  const rows = new RowProgram();
  execAttendantRows(rows, words, terminal, descriptors);
  return rows.executable(ATTENDANT);
}
