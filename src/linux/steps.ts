import { HakoError } from "../errors";
import { walkTable } from "./clone-code";
import { address, type SyscallName, syscallNumber, systemError } from "./syscall";

const LEAST = -(2n ** 63n);
const MOST = 2n ** 63n - 1n;
/** Words before the first step: where to report, number of the step, its result. */
const HEADER_WORDS = 3;
/** A system call's number, six arguments, the least and the greatest result that let the child go on. */
const STEP_WORDS = 9;

/** One system call of a child that has not executed anything yet. Its failure ends the child, unless it is `optional`. */
export interface Step {
  what: string;
  call: SyscallName;
  args: readonly (number | bigint)[];
  /** A failure of this one is passed over. */
  optional?: boolean;
  /** The least result that is a success; 0 if not given. */
  least?: number;
  /** The greatest one. */
  most?: bigint;
}

/** The steps as the machine code reads them. */
export function tableOf(report: number, steps: readonly Step[]): BigInt64Array {
  const table = new BigInt64Array(HEADER_WORDS + STEP_WORDS * steps.length);
  table[0] = BigInt(report);
  steps.forEach((step, index) => {
    const at = HEADER_WORDS + STEP_WORDS * index;
    table[at] = BigInt(syscallNumber(step.call));
    step.args.forEach((argument, position) => {
      table[at + 1 + position] = BigInt(argument);
    });
    table[at + 7] = step.optional === true ? LEAST : BigInt(step.least ?? 0);
    table[at + 8] = step.most ?? MOST;
  });
  return table;
}

export function stepError(
  steps: readonly Step[],
  [index, result]: readonly [step: number, result: number],
): HakoError {
  const what = steps[index]?.what ?? `step ${index}`;
  return result >= 0
    ? new HakoError({ code: "system", message: `${what}: ended too soon` })
    : systemError(what, -result);
}

/**
 * Makes the steps' system calls in this thread, one right after the other; comes back only with an error, for the last one
 * is an execve. `memory` is what the steps point to.
 */
export function walk(
  steps: readonly Step[],
  memory: readonly ArrayBufferView[],
): { step: number; result: number } {
  const table = tableOf(-1, steps);
  walkTable(address(table));
  // the memory is used here so that no optimiser ends its life before the calls
  const alive = memory.length >= 0;
  return { step: alive ? Number(table[1]) : 0, result: Number(table[2]) };
}
