import { address, cString, type Memory, ownAddress, putNumber } from "../call/argument-memory";
import type { Step } from "../call/step";
import { boundsOf, MOST } from "../call/success";
import { syscallNumber } from "../call/syscall-numbers";

/** Words before the first step: where to report, number of the step, its result. */
const HEADER_WORDS = 3;
/** A system call's number, six arguments, the least and the greatest result that let the child go on. */
const STEP_WORDS = 9;

/** The steps as the machine code reads them; `held` is the memory that they point to. */
export interface Table {
  words: Int32Array;
  held: unknown;
}

/**
 * Lays steps out as a table. `place` puts memory where the process that walks the table finds it, and returns the address there.
 * A failure is written to the descriptor `report`; the first step has the number `first`.
 */
export function tableOf(report: number, steps: readonly Step[], place = ownAddress, first = 0): Table {
  const words = new Int32Array(2 * (HEADER_WORDS + STEP_WORDS * steps.length));
  const held: Memory[] = [];
  put(words, 0, report);
  put(words, 1, first);
  let at = HEADER_WORDS;
  for (const { call, args, success } of steps) {
    put(words, at, syscallNumber(call));
    let position = at;
    for (const argument of args) {
      position += 1;
      if (typeof argument === "number" || typeof argument === "bigint") {
        put(words, position, argument);
        continue;
      }
      const memory = typeof argument === "string" ? cString(argument) : argument;
      held.push(memory);
      put(words, position, place(memory));
    }
    if (success === undefined) put(words, at + 8, MOST);
    else {
      const [least, most] = boundsOf(success);
      put(words, at + 7, least);
      put(words, at + 8, most);
    }
    at += STEP_WORDS;
  }
  return { words, held };
}

/** Puts a number into a word of 64 bits: a bigint for each would be memory of its own. */
function put(words: Int32Array, at: number, value: number | bigint): void {
  if (typeof value === "bigint") {
    words[2 * at] = Number(BigInt.asIntN(32, value));
    words[2 * at + 1] = Number(BigInt.asIntN(32, value >> 32n));
    return;
  }
  putNumber(words, at, value);
}

/** The step at which a walk ended, and its result. */
export type Report = readonly [step: number, result: number];

/** A child that was made. */
export interface Spawned {
  /** Or -errno. */
  pid: number;
  /** The step that ended it, where it had our memory. */
  failed: Report | undefined;
}

/** The step that ended a walk of a table in this process's memory, and its result; undefined if none did. */
export function failureIn({ words }: Table): Report | undefined {
  const [index = 0, result = 0] = [words[2], words[4]];
  return result === 0 ? undefined : [index, result];
}

/** Gives the address of a table to machine code that comes back; until then the memory that it points to stays. */
export function withTable({ words, held }: Table, run: (table: number) => number): number {
  const result = run(address(words));
  // named here so that no optimiser ends the memory's life before the call
  return held === undefined ? 0 : result;
}
