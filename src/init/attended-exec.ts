import { HeldSignals, takePlace } from "../linux/attendant";
import { ATTEND, type AttendantWords, type Attended } from "../linux/attendant-rows";
import { AttendedTerminal } from "../linux/attendant-terminal";
import { nameOf, walkedOffset } from "../linux/failed-step";
import type { Fd } from "../linux/fd";
import { ANY, type RowProgram, wordIn } from "../linux/row-program";
import type { Process } from "../oci/config";
import type { BornProcess } from "./born-process";
import type { ExecEnd, ExecShared } from "./exec-process";
import { EXEC_AGAIN, type ExecTold, SIGNALLED } from "./exec-told";

const SIGCHLD = 17;
const SIGSYS = 31;

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
    steps: steps.map(nameOf),
    process: toldProcess(specified, program.environment),
  };
  const terminal = master === undefined ? undefined : new AttendedTerminal(master);
  const first = steps.findIndex(({ call }) => call === "execve");
  const attended: Attended = {
    child(rows, child) {
      rows.call("write", [channel.number, "!", 1], ANY);
      rows.call("close", [channel.number], ANY);
      rows.set(child, pid);
    },
    recorded: undefined,
    part: terminal,
    end: (rows, words) =>
      endRows(rows, words, { range: range.file.number, offset: walkedOffset(table), first }),
  };
  const held = new HeldSignals([...signals, SIGCHLD, ...(terminal?.signals ?? [])]);
  const descriptors = [channel.number, ...(terminal?.descriptors ?? [])];
  takePlace(attended, held, `${EXEC_AGAIN}=${JSON.stringify(told)}`, descriptors, [range.file.number]);
}

/** Where it is seen what has become of a process: in the range, at an offset. `first` is the step that executes a program, first of several. */
interface Walked {
  range: number;
  offset: number;
  first: number;
}

/** Looks whether a step has failed, or a seccomp filter has ended the process before it executed a program. Exported for its test. */
export function endRows(
  rows: RowProgram,
  { status }: AttendantWords,
  { range, offset, first }: Walked,
): void {
  const [step, result] = [0, 8];
  const read = new BigInt64Array(2);
  rows.call("pread64", [range, read, 16, offset], { least: 16, otherwise: ATTEND.again });
  rows.sum([wordIn(read, result)], { least: 0, most: 0, otherwise: ATTEND.again });
  const killed = SIGNALLED + SIGSYS;
  rows.sum([wordIn(status)], { least: killed, most: killed, otherwise: ATTEND.exit });
  rows.sum([wordIn(read, step)], { least: first, next: ATTEND.exit, otherwise: ATTEND.again });
}
