import { errnoNumber } from "../base/errno";
import { HakoError } from "../base/errors";
import { PASSING_CALLS, type SeccompFilter } from "../linux/process/filter-steps";
import type { Seccomp } from "../oci/config";
import {
  ARCHITECTURES,
  type Architecture,
  ERRNO,
  FLAGS,
  KILL_THREAD,
  NATIVE,
  NEW_LISTENER,
  OF_LISTENER,
  X32_BIT,
} from "../oci/seccomp-words";
import { decisionCode } from "./decision-code";
import { questionsOf } from "./decisions";
import {
  ARCHITECTURE,
  answer,
  assemble,
  branch,
  FAR,
  type Instruction,
  ifEqual,
  jump,
  load,
  MAX_INSTRUCTIONS,
  NUMBER,
} from "./instructions";
import { isPlain, type Rule } from "./rule";
import { answerOf, lastNumber, rulesOf } from "./rules";

const NOT_THERE = errnoNumber("ENOSYS");

/**
 * The answer to calls that are newer than the profile: ENOSYS, for which programs are prepared. A profile that only forbids leaves
 * them alone.
 */
const TOLERANT = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"];

/** The calls from this number up to the next range's, which all get the same. */
interface Range {
  from: number;
  rules: readonly Rule[];
  otherwise: number;
  /** Only the low halves of arguments are compared. */
  narrow: boolean;
}

const NO_RULES: readonly Rule[] = [];

/**
 * Compiles a profile into a filter, which finds the rules of a call by a binary search over its number. `native` is the machine's
 * architecture.
 */
export function compile(profile: Seccomp, native = NATIVE): SeccompFilter {
  const names = new Set([native, ...(profile.architectures ?? [])]);
  const audits = new Map<number, string[]>();
  for (const name of names) {
    const architecture = ARCHITECTURES[name];
    if (architecture === undefined) continue;
    audits.set(architecture.audit, [...(audits.get(architecture.audit) ?? []), name]);
  }
  let program: Instruction[] = [answer(KILL_THREAD)];
  for (const [audit, together] of [...audits].reverse()) {
    const section = sectionOf(profile, together);
    const over = section.length;
    const test = over <= FAR ? [ifEqual(audit, 0, over)] : [ifEqual(audit, 1, 0), jump(over)];
    program = [...test, ...section, ...program];
  }
  program = [load(ARCHITECTURE), ...program];
  if (program.length > MAX_INSTRUCTIONS) {
    throw new HakoError({
      code: "config",
      message: `config /linux/seccomp: the filter has ${program.length} instructions, the kernel takes ${MAX_INSTRUCTIONS}`,
      hint: "fewer architectures, or fewer conditions",
    });
  }
  const notified = notifiedCalls(profile);
  return {
    program: assemble(program),
    flags: flagsOf(profile, notified.size > 0),
    passedBy: PASSING_CALLS.find((call) => !notified.has(call)) ?? "sendmsg",
  };
}

function flagsOf(profile: Seccomp, notifies: boolean): number {
  const asked = (profile.flags ?? []).reduce((sum, name) => sum | FLAGS[name], 0);
  return notifies ? asked | NEW_LISTENER : asked & ~OF_LISTENER;
}

/** The calls of which a listener is told. */
function notifiedCalls(profile: Seccomp): Set<string> {
  const rules = (profile.syscalls ?? []).filter(({ action }) => action === "SCMP_ACT_NOTIFY");
  return new Set(rules.flatMap(({ names }) => names));
}

/** The code for one architecture as the kernel tells them apart: x86-64 and x32 are one, with different numbers. */
function sectionOf(profile: Seccomp, names: readonly string[]): Instruction[] {
  const ranges = names.flatMap((name) => {
    const architecture = ARCHITECTURES[name];
    return architecture === undefined
      ? []
      : rangesOf(profile, architecture, name === "SCMP_ARCH_X32" ? X32_BIT : 0);
  });
  if (names.includes("SCMP_ARCH_X86_64") && !names.includes("SCMP_ARCH_X32")) {
    const byDefault = answerOf(profile.defaultAction, profile.defaultErrnoRet);
    // a tracer sets the number to -1 to skip a call
    ranges.push(plain(X32_BIT, KILL_THREAD), plain(0xffffffff, byDefault));
  }
  return [load(NUMBER), ...searchTree(merged(ranges.toSorted((a, b) => a.from - b.from)))];
}

function plain(from: number, otherwise: number): Range {
  return { from, rules: NO_RULES, otherwise, narrow: false };
}

function rangesOf(profile: Seccomp, architecture: Architecture, base: number): Range[] {
  const otherwise = answerOf(profile.defaultAction, profile.defaultErrnoRet);
  const table = rulesOf(profile, architecture);
  const ranges: Range[] = [plain(base, otherwise)];
  const { narrow } = architecture;
  for (const [number, rules] of table) {
    ranges.push({ from: base + number, rules, otherwise, narrow });
    if (!table.has(number + 1)) ranges.push(plain(base + number + 1, otherwise));
  }
  const last = lastNumber(profile, architecture);
  if (last < 0 || TOLERANT.includes(profile.defaultAction)) return ranges;
  const newer = base + last + 1;
  return [...ranges.filter(({ from }) => from < newer), plain(newer, ERRNO | NOT_THERE)];
}

/** Joins neighbours that get the same. Of two ranges that begin at one number the later one holds. */
function merged(ranges: readonly Range[]): Range[] {
  const result: Range[] = [];
  for (const range of ranges) {
    if (result.at(-1)?.from === range.from) result.pop();
    const before = result.at(-1);
    if (before === undefined || !isSame(before, range)) result.push(range);
  }
  return result;
}

function isSame(one: Range, other: Range): boolean {
  const { rules, otherwise, narrow } = one;
  if (rules === other.rules && otherwise === other.otherwise && narrow === other.narrow) return true;
  return key(one) === key(other);
}

function key({ rules, otherwise, narrow }: Range): string {
  const [only] = rules;
  if (only === undefined) return String(otherwise);
  if (isPlain(only)) return String(only.answer);
  const text = rules.map(({ conditions, answer: value }) => [
    value,
    ...conditions.flatMap(({ index, op, value: first, valueTwo }) => [index, op, first, valueTwo]),
  ]);
  return `${text.join(";")}:${otherwise}:${narrow}`;
}

function searchTree(ranges: readonly Range[], start = 0, end = ranges.length): Instruction[] {
  const middle = (start + end) >> 1;
  const first = ranges[start];
  if (middle === start) return first === undefined ? [] : rangeCode(first);
  const small = searchTree(ranges, start, middle);
  const large = searchTree(ranges, middle, end);
  return branch(ranges[middle]?.from ?? 0, small, large);
}

/** Whether a range has a rule without conditions: it is alone then. */
function rangeCode({ rules, otherwise, narrow }: Range): Instruction[] {
  const [only] = rules;
  if (only === undefined) return [answer(otherwise)];
  return isPlain(only) ? [answer(only.answer)] : decisionCode(questionsOf(rules, narrow), otherwise);
}
