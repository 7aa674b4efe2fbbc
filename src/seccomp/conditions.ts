import { and, half, type Instruction, ifAtLeast, ifEqual, ifGreater, load } from "./instructions";
import type { Operator } from "./words";

/** What an argument is compared with. */
export interface Condition {
  index: number;
  op: Operator;
  /** For SCMP_CMP_MASKED_EQ the mask. */
  value: bigint;
  valueTwo: bigint;
}

/** One half of a comparison: falls through, or jumps to `ok` (behind the comparison) or `fail`. */
type Exit = "next" | "ok" | "fail";
type Test = readonly [
  jump: (k: number, yes: number, no: number) => Instruction,
  k: number,
  yes: Exit,
  no: Exit,
];
type Part = Instruction | { test: Test };

const MASK = 0xffffffffn;
const low = (value: bigint) => Number(value & MASK);
const high = (value: bigint) => Number((value >> 32n) & MASK);

function test(...words: Test): Part {
  return { test: words };
}

/** Both halves of 64 bits, the high one first; a 32-bit architecture's arguments have only the low one. */
function parts({ index, op, value, valueTwo }: Condition, narrow: boolean): Part[] {
  const H = load(half(index, "high"));
  const L = load(half(index, "low"));
  const [h, l] = [high(value), low(value)];
  const above: Part[] = narrow ? [] : [H, test(ifGreater, h, "ok", "next"), test(ifEqual, h, "next", "fail")];
  const below: Part[] = narrow ? [] : [H, test(ifGreater, h, "fail", "next"), test(ifEqual, h, "next", "ok")];
  switch (op) {
    case "SCMP_CMP_EQ":
      return [...(narrow ? [] : [H, test(ifEqual, h, "next", "fail")]), L, test(ifEqual, l, "ok", "fail")];
    case "SCMP_CMP_NE":
      return [...(narrow ? [] : [H, test(ifEqual, h, "next", "ok")]), L, test(ifEqual, l, "fail", "ok")];
    case "SCMP_CMP_GT":
      return [...above, L, test(ifGreater, l, "ok", "fail")];
    case "SCMP_CMP_GE":
      return [...above, L, test(ifAtLeast, l, "ok", "fail")];
    case "SCMP_CMP_LT":
      return [...below, L, test(ifAtLeast, l, "fail", "ok")];
    case "SCMP_CMP_LE":
      return [...below, L, test(ifGreater, l, "fail", "ok")];
    case "SCMP_CMP_MASKED_EQ":
      return [...(narrow ? [] : masked(H, h, high(valueTwo), "next")), ...masked(L, l, low(valueTwo), "ok")];
  }
}

/** Bits outside of the mask are not compared, whatever the datum has there (seccomp_rule_add(3)). */
function masked(loaded: Instruction, mask: number, datum: number, then: Exit): Part[] {
  if (mask === 0) return [];
  const wanted = (datum & mask) >>> 0;
  return [loaded, ...(mask === 0xffffffff ? [] : [and(mask)]), test(ifEqual, wanted, then, "fail")];
}

/** Code that runs on into `rest` when the condition holds, and jumps behind it when it does not. */
export function conditionCode(
  condition: Condition,
  narrow: boolean,
  rest: readonly Instruction[],
): Instruction[] {
  const all = parts(condition, narrow);
  const code = all.map((part, index): Instruction => {
    if (!("test" in part)) return part;
    const ahead = all.length - index - 1;
    const distance = { next: 0, ok: ahead, fail: ahead + rest.length };
    const [make, k, yes, no] = part.test;
    return make(k, distance[yes], distance[no]);
  });
  return [...code, ...rest];
}
