import { concatenated } from "../call/bytes";
import { codeFor, loadNumber, type MachineCode, TABLE_REGISTER } from "./machine-code";

/**
 * Words of a row, 64 bits each: what is done, with what, where the result goes, and where to go on. Operands 1 to 11 are meant
 * as they are or, if their bit in `indirect` is set, as the address of the word that is meant.
 */
export const ROW = {
  /** The number of a system call, or one of `OPERATION`. */
  call: 0,
  /** The first of six arguments. */
  arguments: 1,
  /** The least and the greatest result with which `next` comes next, and not `otherwise`. */
  least: 7,
  most: 8,
  /** The address of the word that the result is written to. */
  result: 9,
  /** Addresses of rows. */
  next: 10,
  otherwise: 11,
  indirect: 12,
  words: 13,
} as const;

/** What is no system call. */
export const OPERATION = {
  /** a + b - c */
  sum: -1,
  /** a & b */
  mask: -2,
  /** a, with its lowest b bits moved to the top */
  rotate: -3,
  /** The word at the address a. */
  load: -4,
  /** The walk of the table at the address a, which ends the process: by the code that lies behind the interpreter (clone-code.ts), if it does. */
  walk: -5,
} as const;

/** Where the first row is in the data; in front of it is the word that keeps the stack pointer of the start. */
export const ROWS_AT = 16;

/**
 * The program that interprets rows; its data begin at an address that it is told.
 *
 *     data.stack = stack pointer
 *     for (row = data + ROWS_AT;;) {
 *         for (i = 1; i <= 11; i++) operand[i] = row.indirect & (1 << i) ? *row[i] : row[i]
 *         result = row.call >= 0 ? syscall(row.call, operand[1...6]) : operation(row.call, operand[1...3])
 *         *operand.result = result
 *         row = result < operand.least || result > operand.most ? operand.otherwise : operand.next
 *     }
 *
 * The assembler's text is in test/assembly, and a test compares the two.
 */
export const INTERPRETER: MachineCode = {
  x64: `
    49892424 4983c410 418b4c24 60ba0b00 0000498b 04d40fa3 d1730348 8b0050ff ca75ef49
    8b04245f 5e5a415a 41584159 415d415e 5b415c41 5f4885c0 78140f05 4889034c 39e87c05
    4c39f07e bb4d89fc ebb648ff c0741448 ffc07418 48ffc074 1b48ffc0 7520488b 07ebd548
    8d043748 29d0ebcc 4889f848 21f0ebc4 4889f889 f148d3c8 ebba4989 fc`,
  arm64: `
    ea030091 2a0501f8 2a3140f9 6b0180d2 2c796bf8 4d25cb9a 4d000036 8c0140f9
    ec0f1ff8 6b0500f1 41ffff54 280140f9 e00741f8 e10741f8 e20741f8 e30741f8
    e40741f8 e50741f8 e60741f8 e70741f8 ea0741f8 e90741f8 eb0741f8 2801f8b7
    010000d4 400100f9 1f0006eb 6b000054 1f0007eb adfcff54 e9030baa e3ffff17
    080500b1 20010054 080500b1 40010054 080500b1 40010054 080500b1 41010054
    000040f9 f0ffff17 0000018b 000002cb edffff17 0000018a ebffff17 002cc19a
    e9ffff17 e90300aa`,
};

/** The interpreter of the data at this address, below 2^32. */
export function interpreterCode(data: number, machine: string = process.arch): Uint8Array {
  return concatenated([loadNumber(data, TABLE_REGISTER, machine), codeFor(machine, INTERPRETER)]);
}
