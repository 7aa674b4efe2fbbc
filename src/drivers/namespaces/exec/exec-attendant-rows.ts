import {
  ATTEND,
  type AttendantPart,
  type AttendantWords,
  attendRows,
  WAY,
} from "../../../linux/attendant/attendant-rows";
import { SIGNALLED } from "../../../linux/attendant/attendant-status";
import { SIG } from "../../../linux/call/constants";
import { ANY, namedWords, type Operand, RowProgram, wordIn } from "../../../linux/steps/row-program";
import type { Template } from "../../../linux/steps/template";

/** What the attendant of an exec is told. */
const NAMES = [
  // the process that waits to execute its program, and where it does
  "pid",
  "channel",
  // where it is seen what has become of it, as `Walked`
  "range",
  "offset",
  "first",
  ...WAY,
] as const;
export type ExecAttendantWord = (typeof NAMES)[number];

/**
 * The attendant of an exec: it lets the process go, passes signals on, and looks at its end. A part has `descriptors` of its own. The
 * build keeps the one that has no part.
 */
export function execAttendant(
  machine: string,
  part: AttendantPart | undefined,
  descriptors: readonly number[],
): Template<ExecAttendantWord> {
  const program = new RowProgram(machine);
  const words = namedWords(NAMES);
  const { pid, channel, range, offset, first } = words;
  const attended = {
    child(rows: RowProgram, child: BigInt64Array) {
      rows.call("write", [wordIn(channel), "!", 1], ANY);
      rows.call("close", [wordIn(channel)], ANY);
      rows.set(child, wordIn(pid));
    },
    recorded: undefined,
    part,
    end(rows: RowProgram, attendant: AttendantWords) {
      endRows(rows, attendant, { range: wordIn(range), offset: wordIn(offset), first: wordIn(first) });
    },
  };
  attendRows(program, attended, words, [wordIn(channel), ...descriptors]);
  return program.template(words);
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
  const killed = SIGNALLED + SIG.SYS;
  rows.sum([wordIn(status)], { least: killed, most: killed, otherwise: ATTEND.exit });
  rows.sum([wordIn(read, step)], { least: first, next: ATTEND.exit, otherwise: ATTEND.again });
}
