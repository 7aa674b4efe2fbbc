import { word } from "../../../linux/steps/row-program";

/** What the attendant of an exec is told: words of its memory. */
const NAMES = [
  // the process that waits to execute its program, and where it does
  "pid",
  "channel",
  // where it is seen what has become of it, as `Walked`
  "range",
  "offset",
  "first",
  // as `Way`
  "executable",
  "mask",
  "signals",
  "environmentAt",
  "lastLineAt",
  "digitsAt",
] as const;
export type ExecAttendantWords = Record<(typeof NAMES)[number], BigInt64Array>;

export function execAttendantWords(
  values: Partial<Record<keyof ExecAttendantWords, number | bigint>>,
): ExecAttendantWords {
  const words: Partial<ExecAttendantWords> = {};
  for (const name of NAMES) words[name] = word(values[name]);
  return words as ExecAttendantWords;
}
