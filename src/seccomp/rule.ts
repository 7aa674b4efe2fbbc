import type { Operator } from "../oci/seccomp-words";

/** A comparison of one argument. */
export interface Condition {
  index: number;
  op: Operator;
  /** For SCMP_CMP_MASKED_EQ the mask. */
  value: bigint;
  valueTwo: bigint;
}

/** A rule: an answer, if all conditions hold. */
export interface Rule {
  /** The conditions in the order of the arguments, without those that always hold. */
  conditions: readonly Condition[];
  answer: number;
  /** The row of the profile that it comes from. */
  row: { index: number; names: readonly string[] };
}

const HALF = 0xffffffffn;

export const low = (value: bigint) => Number(value & HALF);
export const high = (value: bigint) => Number((value >> 32n) & HALF);

/** Whether a condition always holds: its mask has no bit that the architecture's arguments have. */
export function holdsAlways({ op, value }: Condition, narrow: boolean): boolean {
  return op === "SCMP_CMP_MASKED_EQ" && low(value) === 0 && (narrow || high(value) === 0);
}

/** Whether a rule has no conditions. */
export function isPlain({ conditions }: Rule): boolean {
  return conditions.length === 0;
}
