import { HakoError } from "../../base/errors";
import { currentActor } from "./actor";
import { type ErrnoName, errnoName } from "../../base/errno";
import { systemHint } from "./hints";
import { address, cString, type Memory, ownAddress, putNumber } from "./memory";
import { type SyscallName, syscallNumber, systemError, trySyscallHere } from "./syscall";

const MOST = 2n ** 63n - 1n;
/** Words before the first step: where to report, number of the step, its result. */
const HEADER_WORDS = 3;
/** A system call's number, six arguments, the least and the greatest result that let the child go on. */
const STEP_WORDS = 9;

/** One system call of a process that has not executed anything yet. Its failure ends the process, unless it is `optional`. */
export interface Step {
  what: string;
  call: SyscallName;
  /** Text is passed NUL-terminated, memory by its address. */
  args: readonly StepArgument[];
  /** A failure of this one is passed over. */
  optional?: boolean;
  /** The least result that is a success; 0 if not given. */
  least?: number;
  /** The greatest one. */
  most?: bigint;
  /** What to try when it fails so. */
  hint?: ((errno: ErrnoName | undefined) => string | undefined) | undefined;
}

export type StepArgument = number | bigint | string | Memory;

/** The steps as the machine code reads them; `held` is the memory that they point to. */
export interface Table {
  words: Int32Array;
  held: unknown;
}

/**
 * Lays steps out for a process in whose memory `place` says where things are; failures go to the descriptor `report`, where
 * the first step has the number `first`.
 */
export function tableOf(report: number, steps: readonly Step[], place = ownAddress, first = 0): Table {
  const words = new Int32Array(2 * (HEADER_WORDS + STEP_WORDS * steps.length));
  const held: Memory[] = [];
  put(words, 0, report);
  put(words, 1, first);
  let at = HEADER_WORDS;
  for (const { call, args, optional, least = 0, most } of steps) {
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
    // the least number that there is, or the greatest: any result
    if (optional === true) words[2 * at + 15] = -(2 ** 31);
    else put(words, at + 7, least);
    if (most !== undefined) put(words, at + 8, most);
    else {
      words[2 * at + 16] = -1;
      words[2 * at + 17] = 2 ** 31 - 1;
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

/** The step that ended a walk of a table in this process's memory, and its result; undefined if none did. */
export function failureIn({ words }: Table): readonly [step: number, result: number] | undefined {
  const [index = 0, result = 0] = [words[2], words[4]];
  return result === 0 ? undefined : [index, result];
}

/** Gives the address of a table to machine code that comes back; until then the memory that it points to stays. */
export function withTable({ words, held }: Table, run: (table: number) => number): number {
  const result = run(address(words));
  // named here so that no optimiser ends the memory's life before the call
  return held === undefined ? 0 : result;
}

export function stepError(
  steps: readonly Step[],
  [index, result]: readonly [step: number, result: number],
): HakoError {
  const step = steps[index];
  const what = step?.what ?? `step ${index}`;
  if (result >= 0) return new HakoError({ code: "system", message: `${what}: ended too soon` });
  const errno = errnoName(-result);
  const hint = systemHint(step?.call ?? "", errno) ?? step?.hint?.(errno);
  const error = systemError(what, -result, undefined, hint);
  return new HakoError({ ...error, message: error.message, syscall: step?.call });
}

/** How many steps succeeded, and the result of the last one that was made. */
export type Walk = readonly [made: number, result: number];

/** Makes the steps' system calls, one after the other, as steps of a process that has nothing else to do would be made. */
export function perform(steps: readonly Step[]): void {
  checkWalk(steps, walkSteps(steps));
}

/** Throws the error of the step that a walk has ended at before the last one succeeded. */
export function checkWalk(steps: readonly Step[], walk: Walk): void {
  if (walk[0] < steps.length) throw stepError(steps, walk);
}

/** The same for whoever wants to know where it ends. */
export function walkSteps(steps: readonly Step[]): Walk {
  const actor = currentActor();
  return actor === undefined ? walkHere(steps) : actor.walk(steps);
}

/** The same by this thread, whoever acts. */
export function walkHere(steps: readonly Step[]): Walk {
  let result = 0;
  for (const [index, { call, args, optional, least = 0, most = MOST }] of steps.entries()) {
    result = trySyscallHere(call, ...args);
    if ((optional !== true && result < least) || BigInt(result) > most) return [index, result];
  }
  return [steps.length, result];
}
