// What the rules of a profile say, read one by one.
import type { Seccomp } from "../../src/oci/config";
import type { Operator } from "../../src/oci/seccomp-words";
import { answerOf } from "../../src/seccomp/rules";

export type Rules = NonNullable<Seccomp["syscalls"]>;

export const HOLDS: Record<Operator, (a: bigint, value: bigint, two: bigint) => boolean> = {
  SCMP_CMP_EQ: (a, value) => a === value,
  SCMP_CMP_NE: (a, value) => a !== value,
  SCMP_CMP_GT: (a, value) => a > value,
  SCMP_CMP_GE: (a, value) => a >= value,
  SCMP_CMP_LT: (a, value) => a < value,
  SCMP_CMP_LE: (a, value) => a <= value,
  SCMP_CMP_MASKED_EQ: (a, mask, two) => (a & mask) === (two & mask),
};

/** The answers of those rules of one call that hold; of the profile's default if none does. */
export function answersTo(
  { defaultAction, defaultErrnoRet, syscalls = [] }: Seccomp,
  name: string,
  args: readonly bigint[],
  narrow: boolean,
): number[] {
  const byDefault = answerOf(defaultAction, defaultErrnoRet);
  const bits = narrow ? 32 : 64;
  const holds = ({ index, op, value, valueTwo }: NonNullable<Rules[number]["args"]>[number]) => {
    const part = (wide: number | bigint) => BigInt.asUintN(bits, BigInt(wide));
    return HOLDS[op](part(args[index] ?? 0n), part(value), part(valueTwo));
  };
  const applies = ({ args: all = [] }: Rules[number]) =>
    new Set(all.map(({ index }) => index)).size === all.length ? all.every(holds) : all.some(holds);
  const rules = (syscalls ?? [])
    .filter(({ names }) => names.includes(name))
    .map((rule) => ({ ...rule, answer: answerOf(rule.action, rule.errnoRet) }))
    // the default action has no rules, for libseccomp refuses them
    .filter(({ answer }) => answer !== byDefault);
  const whole = rules.find(({ args: none = [] }) => none?.length === 0);
  const found = whole === undefined ? rules.filter(applies) : [whole];
  return found.length === 0 ? [byDefault] : found.map(({ answer }) => answer);
}

/** Values at which an answer may change. */
export function turningPoints(rules: Rules): bigint[] {
  const values = new Set([0n, 1n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 64n - 1n]);
  for (const { value, valueTwo } of rules.flatMap(({ args = [] }) => args ?? [])) {
    for (const near of [-1n, 0n, 1n]) {
      values.add(BigInt.asUintN(64, BigInt(value) + near)).add(BigInt.asUintN(64, BigInt(valueTwo) + near));
    }
  }
  return [...values];
}
