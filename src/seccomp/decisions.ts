import { HakoError } from "../base/errors";
import { type Condition, high, low, type Rule } from "./rule";

/**
 * Which questions a filter asks about the arguments of a call, and in which order. Classic BPF compares 32 bits at a time, so a
 * condition is one to three questions about halves of an argument.
 *
 * The order is libseccomp's (src/db.c, versions 2.4 to 2.6), by which runc and crun make their filters: where several rules of one
 * call hold, the order decides which of them answers. Rules that ask the same question share it. Questions beside each other come in
 * this order:
 *
 * - from the last argument to the first, and the high half before the low half;
 * - for one half: equality, then upper bounds, then lower bounds;
 * - of bounds the closer one first.
 *
 * So a rule that holds for less is mostly asked before one that holds for more.
 */

/** A question, and where each answer leads. */
export interface Question {
  /** Which half of which argument: twice the argument's index, and one more for the high half. */
  half: number;
  test: "equal" | "masked equal" | "greater" | "at least";
  mask: number;
  datum: number;
  /** The kind of the condition that asks; conditions of different kinds may ask the same question. */
  kind: Kind;
  /** All 64 bits that the condition compares with. */
  whole: bigint;
  yes: Outcome;
  no: Outcome;
}

/** Questions that are asked one after another, until a rule answers. */
export type Questions = Question[];

/** Where an answer leads: to a rule, to more questions, or (undefined) to the next question beside this one. */
export type Outcome = Rule | Questions | undefined;

/** The kinds of conditions; the first is asked last. */
const KINDS = ["lower bound", "upper bound", "equality"] as const;
type Kind = (typeof KINDS)[number];
const SIDES = ["yes", "no"] as const;
const ALL = 0xffffffff;

/** The questions of all rules of one call; every rule has conditions. */
export function questionsOf(rules: readonly Rule[], narrow: boolean): Questions {
  const all: Questions = [];
  for (const rule of rules) {
    for (const question of chain(rule, rule.conditions, narrow)) insert(all, question, rule);
  }
  return all;
}

/** The questions of one rule: arguments in ascending order, the rule behind the last one. */
function chain(rule: Rule, conditions: readonly Condition[], narrow: boolean): Questions {
  const [condition, ...rest] = conditions;
  if (condition === undefined) return [];
  const then = () => (rest.length === 0 ? rule : chain(rule, rest, narrow));
  return [narrow ? narrowQuestion(condition, then()) : wideQuestion(condition, then)];
}

/** The halves of an argument; on a 32-bit architecture the low one alone. */
function narrowQuestion(condition: Condition, then: Outcome): Question {
  const ask = asker(condition);
  switch (condition.op) {
    case "SCMP_CMP_EQ":
      return ask("low", "equal", then, undefined);
    case "SCMP_CMP_NE":
      return ask("low", "equal", undefined, then);
    case "SCMP_CMP_MASKED_EQ":
      return ask("low", "masked equal", then, undefined);
    case "SCMP_CMP_GT":
      return ask("low", "greater", then, undefined);
    case "SCMP_CMP_GE":
      return ask("low", "at least", then, undefined);
    case "SCMP_CMP_LT":
      return ask("low", "at least", undefined, then);
    case "SCMP_CMP_LE":
      return ask("low", "greater", undefined, then);
  }
}

/**
 * Asks for a bound of 64 bits. `then` is called for each way that leads there: a rule that is added later to one of the ways must not
 * be found on the others.
 */
function wideQuestion(condition: Condition, then: () => Outcome): Question {
  const ask = asker(condition);
  const { op } = condition;
  switch (op) {
    case "SCMP_CMP_EQ":
      return ask("high", "equal", [ask("low", "equal", then(), undefined)], undefined);
    case "SCMP_CMP_NE":
      return ask("high", "equal", [ask("low", "equal", undefined, then())], then());
    case "SCMP_CMP_MASKED_EQ":
      return ask("high", "masked equal", [ask("low", "masked equal", then(), undefined)], undefined);
    case "SCMP_CMP_GT":
    case "SCMP_CMP_GE": {
      const below = ask("low", op === "SCMP_CMP_GT" ? "greater" : "at least", then(), undefined);
      return ask("high", "greater", then(), [ask("high", "equal", [below], undefined)]);
    }
    case "SCMP_CMP_LT":
    case "SCMP_CMP_LE": {
      const below = ask("low", op === "SCMP_CMP_LE" ? "greater" : "at least", undefined, then());
      return ask("high", "greater", undefined, [ask("high", "equal", [below], then())]);
    }
  }
}

function asker({ index, op, value, valueTwo }: Condition) {
  const isMasked = op === "SCMP_CMP_MASKED_EQ";
  const whole = isMasked ? valueTwo : value;
  const kind = kindOf(op);
  return (which: "low" | "high", test: Question["test"], yes: Outcome, no: Outcome): Question => {
    const part = which === "low" ? low : high;
    const mask = isMasked ? part(value) : ALL;
    // bits outside of the mask are not compared, whatever the datum has there (seccomp_rule_add(3))
    const datum = (part(whole) & mask) >>> 0;
    return { half: 2 * index + (which === "high" ? 1 : 0), test, mask, datum, kind, whole, yes, no };
  };
}

function kindOf(op: Condition["op"]): Kind {
  if (op === "SCMP_CMP_GT" || op === "SCMP_CMP_GE") return "lower bound";
  return op === "SCMP_CMP_LT" || op === "SCMP_CMP_LE" ? "upper bound" : "equality";
}

/** Puts a question of a rule at its place in the order. Where that question is asked already, only what it leads to is added. */
function insert(questions: Questions, question: Question, rule: Rule): void {
  for (const [at, other] of questions.entries()) {
    if (isSame(other, question)) {
      for (const side of SIDES) lead(other, side, question, rule);
      return;
    }
    if (comesBefore(question, other)) {
      questions.splice(at, 0, question);
      return;
    }
  }
  questions.push(question);
}

function isSame(one: Question, other: Question): boolean {
  return (
    one.half === other.half && one.test === other.test && one.datum === other.datum && one.mask === other.mask
  );
}

function comesBefore(one: Question, other: Question): boolean {
  if (one.half !== other.half) return one.half > other.half;
  if (one.kind !== other.kind) return KINDS.indexOf(one.kind) > KINDS.indexOf(other.kind);
  return one.kind === "upper bound" ? one.datum < other.datum : one.datum > other.datum;
}

/** Lets a side of `known` lead also to where that side of `question` leads. */
function lead(known: Question, side: (typeof SIDES)[number], question: Question, rule: Rule): void {
  const [before, added] = [known[side], question[side]];
  if (added === undefined) return;
  if (before === undefined) {
    known[side] = added;
  } else if (Array.isArray(added)) {
    // the rule that answers here asks for less, so it holds wherever the other one does
    if (Array.isArray(before)) for (const each of added) insert(before, each, rule);
  } else if (Array.isArray(before)) {
    const other = otherAnswer(before, rule);
    if (other !== undefined) throw contradiction(rule, other);
    known[side] = rule;
  } else if (before.answer !== rule.answer) {
    if (isEnd(known) || isEnd(question)) throw contradiction(rule, before);
    // halves of two bounds: what lies beyond both is for the farther lower one, and for the first of upper ones
    if (side === "yes" && question.whole > known.whole) known.yes = rule;
  }
}

function isEnd({ yes, no }: Question): boolean {
  return !Array.isArray(yes) && !Array.isArray(no);
}

/** A rule that gives another answer at the same place. */
function otherAnswer(outcome: Outcome, rule: Rule): Rule | undefined {
  if (outcome === undefined) return undefined;
  if (!Array.isArray(outcome)) return outcome.answer === rule.answer ? undefined : outcome;
  for (const { yes, no } of outcome) {
    const other = otherAnswer(yes, rule) ?? otherAnswer(no, rule);
    if (other !== undefined) return other;
  }
  return undefined;
}

/** The error for rules that contradict each other; libseccomp says EEXIST. */
function contradiction(rule: Rule, other: Rule): HakoError {
  const name = rule.row.names.find((each) => other.row.names.includes(each)) ?? rule.row.names[0];
  return new HakoError({
    code: "config",
    message: `config /linux/seccomp/syscalls/${rule.row.index}: contradicts /linux/seccomp/syscalls/${other.row.index}: another answer to ${name} with the same arguments`,
    hint: "remove one of them",
  });
}
