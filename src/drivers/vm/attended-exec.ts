import { attendedTerminal, takePlace } from "../../linux/attendant/attendant";
import { ATTEND, type AttendantPart, attendRows, WAY } from "../../linux/attendant/attendant-rows";
import { attendanceError, statusOfDigits } from "../../linux/attendant/attendant-status";
import { SIG } from "../../linux/call/constants";
import { trySyscall } from "../../linux/call/syscall";
import { isChild, reapChild } from "../../linux/process/process";
import { namedWords, RowProgram, wordIn } from "../../linux/steps/row-program";
import type { Template } from "../../linux/steps/template";
import type { Attendance } from "../interface/driver";
import { EXEC_AGAIN, type ExecTold, type ToldExec } from "../interface/exec-told";

const NAMES = ["pid", ...WAY] as const;
type Word = (typeof NAMES)[number];

/** The attendant of a stand-in with a terminal. */
function attendant(part: AttendantPart | undefined, descriptors: readonly number[]): Template<Word> {
  const program = new RowProgram();
  const words = namedWords(NAMES);
  const attended = {
    child: (rows: RowProgram, child: BigInt64Array) => rows.set(child, wordIn(words.pid)),
    recorded: undefined,
    part,
    end: (rows: RowProgram) => rows.goto(ATTEND.exit),
  };
  attendRows(program, attended, words, descriptors);
  return program.template(words);
}

/** Leaves the stand-in, a child, to an attendant that takes this process's place and has the caller's terminal. Comes back only by throwing. */
export function leaveStandIn(pid: number, { signals, master }: Attendance): never {
  const terminal = attendedTerminal(master);
  const nothing = { range: 0, table: 0, steps: [], process: { cwd: "/", user: { uid: 0, gid: 0 } } };
  const told: ExecTold = { own: process.pid, pid, ...nothing };
  takePlace(attendant(terminal, terminal?.descriptors ?? []), `${EXEC_AGAIN}=${JSON.stringify(told)}`, {
    signals,
    terminal,
    descriptors: [],
    fillings: { pid },
  });
}

/** Why the attendant has given way to this command: the caller's terminal can't be read or written any more. */
export function leavingFailure({ told: { pid }, digits }: ToldExec): Error {
  if (isChild(pid)) {
    trySyscall("kill", pid, SIG.KILL);
    reapChild(pid, true);
  }
  return attendanceError(statusOfDigits(digits), "the process");
}
