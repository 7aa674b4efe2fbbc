import {
  ATTEND,
  type AttendantPart,
  type AttendantWords,
  type Attended,
  attendRows,
} from "../../../linux/attendant/attendant-rows";
import { SIGNALLED } from "../../../linux/attendant/attendant-status";
import { ANY, type Operand, type RowProgram, wordIn } from "../../../linux/steps/row-program";
import type { ExecAttendantWords } from "./exec-attendant-words";

const SIGSYS = 31;

/** It lets the process go, passes signals on, and looks at its end. Without a part it is a template of the build's. */
export function execAttendantRows(
  program: RowProgram,
  words: ExecAttendantWords,
  part: AttendantPart | undefined,
  descriptors: readonly number[],
): void {
  const { pid, channel, range, offset, first, executable, environmentAt, lastLineAt, digitsAt } = words;
  const attended: Attended = {
    child(rows, child) {
      rows.call("write", [wordIn(channel), "!", 1], ANY);
      rows.call("close", [wordIn(channel)], ANY);
      rows.set(child, wordIn(pid));
    },
    recorded: undefined,
    part,
    end(rows, attendant) {
      endRows(rows, attendant, { range: wordIn(range), offset: wordIn(offset), first: wordIn(first) });
    },
  };
  attendRows(program, attended, {
    executable: wordIn(executable),
    descriptors: [wordIn(channel), ...descriptors],
    mask: words.mask,
    signals: words.signals,
    environmentAt: wordIn(environmentAt),
    lastLineAt: wordIn(lastLineAt),
    digitsAt: wordIn(digitsAt),
  });
}

/** Where it is seen what has become of a process: in the range, at an offset. `first` is the step that executes a program, first of several. */
interface Walked {
  range: Operand;
  offset: Operand;
  first: Operand;
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
