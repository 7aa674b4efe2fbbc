import { textOf } from "../call/bytes";
import type { Step } from "../call/step";
import type { Report } from "../steps/table";
import { forged, isAnswer } from "./remote-answers";

/** 32 bits each: the table that `become` was prepared for, where memory for calls begins, what its steps are called, and how long that text is. */
export const PREPARED = { table: 96, memory: 100, names: 104, namesLength: 108 } as const;
/** Of a table: where it was, and with which result, when a step failed. */
export const TABLE = { index: 8, result: 16, steps: 24 } as const;
/** The most characters of a step's name that are shown, and the most bytes of the text with all names. */
const [LONGEST_NAME, LONGEST_NAMES] = [1000, 1 << 18];

/** What a table's step is called, for whoever has to tell of its failure. */
export type StepName = Pick<Step, "what" | "call"> & { path?: string };

/** What is told of a step in place of itself. */
export function stepName({ what, call, args }: Step): StepName {
  const [path] = args;
  return call === "execve" && typeof path === "string" ? { what, call, path } : { what, call };
}

/** The memory that a process shares, or has handed over. */
interface Range {
  words: Int32Array;
  longWords: BigInt64Array;
  bytes: Uint8Array;
}

/** A step that ended a process. */
export interface FailedStep {
  step: StepName;
  result: number;
}

/**
 * The offset in a range of the number of the step at which the walk of a table is; behind it is the result that ended the walk.
 * 64 bits each, the result 0 until a step ends it.
 */
export function walkedOffset(table: number): number {
  return table + TABLE.index;
}

/** The step of a table in a range that ended its process, by its place in the table, and its result; undefined if none did. */
export function failureAt({ longWords }: Pick<Range, "longWords">, table: number): Report | undefined {
  const result = Number(longWords[(table + TABLE.result) / 8] ?? 0n);
  if (result === 0) return undefined;
  if (!isAnswer(result)) throw forged(`its last step gives ${result}`);
  return [Number(longWords[(table + TABLE.index) / 8] ?? 0n), result];
}

/** The step that ended a process which was to `become` its steps; undefined if none did. */
export function failedStep(range: Range): FailedStep | undefined {
  const { words, bytes } = range;
  const failure = failureAt(range, words[PREPARED.table / 4] ?? 0);
  if (failure === undefined) return undefined;
  const [index, result] = failure;
  const at = words[PREPARED.names / 4] ?? 0;
  const length = Math.min(words[PREPARED.namesLength / 4] ?? 0, LONGEST_NAMES);
  const text = textOf(bytes.slice(at, at + length));
  return { step: nameAt(text, index), result };
}

function isName<T extends string>(text: T | undefined): text is T {
  return typeof text === "string" && text.length <= LONGEST_NAME;
}

/** What was written when the steps were prepared, unless somebody else has written there since. */
function nameAt(text: string, index: number): StepName {
  const unknown: StepName = { what: `step ${index}`, call: "prctl" };
  try {
    const { what, call, path } = (JSON.parse(text) as Partial<StepName>[])[index] ?? {};
    if (!isName(what) || !isName(call)) return unknown;
    return isName(path) ? { what, call, path } : { what, call };
  } catch {
    return unknown;
  }
}
