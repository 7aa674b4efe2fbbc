import type { Operator } from "../oci/seccomp-words";

/** What an argument is compared with. */
export interface Condition {
  index: number;
  op: Operator;
  /** For SCMP_CMP_MASKED_EQ the mask. */
  value: bigint;
  valueTwo: bigint;
}

/** One thing that a profile says of a call: an answer, if all conditions hold. */
export interface Rule {
  /** In the order of the arguments, without those that always hold. */
  conditions: readonly Condition[];
  answer: number;
  /** Where it stands in the profile. */
  row: { index: number; names: readonly string[] };
}

const HALF = 0xffffffffn;

export const low = (value: bigint) => Number(value & HALF);
export const high = (value: bigint) => Number((value >> 32n) & HALF);

/** Whether nothing is compared: the mask has no bit that the architecture's arguments have. */
export function holdsAlways({ op, value }: Condition, narrow: boolean): boolean {
  return op === "SCMP_CMP_MASKED_EQ" && low(value) === 0 && (narrow || high(value) === 0);
}

/** It says all there is to say. */
export function isPlain({ conditions }: Rule): boolean {
  return conditions.length === 0;
}
