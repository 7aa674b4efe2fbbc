import type { Seccomp } from "../oci/config";
import { ACTIONS, type Action, type Architecture } from "../oci/seccomp-words";
import { MultiplexedCalls } from "./multiplexed";
import { type Condition, holdsAlways, isPlain, type Rule } from "./rule";
import { SYSCALLS } from "./syscalls";

const EPERM = 1;

type Row = NonNullable<Seccomp["syscalls"]>[number];

/** The rules of one architecture by the calls' numbers. */
export type RuleTable = Map<number, readonly Rule[]>;

const X86_COLUMN = 1;

/** SECCOMP_RET_* of an action's name and number, EPERM if it takes a number and has none. */
export function answerOf(action: Action, errnoRet: number | undefined): number {
  const word = ACTIONS[action];
  return word.data === undefined ? word.value : (word.value | (errnoRet ?? EPERM)) >>> 0;
}

/**
 * The rules of a profile for one architecture. What says the default action is left out, so that it doesn't take from what
 * a narrower rule says; names that the architecture doesn't have are skipped.
 */
export function rulesOf(profile: Seccomp, architecture: Architecture): RuleTable {
  const table: RuleTable = new Map();
  const byDefault = answerOf(profile.defaultAction, profile.defaultErrnoRet);
  const multiplexed = architecture.column === X86_COLUMN ? new MultiplexedCalls(byDefault) : undefined;
  for (const [index, { names, action, errnoRet, args }] of (profile.syscalls ?? []).entries()) {
    const answer = answerOf(action, errnoRet);
    if (answer === byDefault) continue;
    const row = { index, names };
    // one list for all names of a row, so that it is seen at a glance that they get the same
    const rules = alternativesOf(args ?? [], architecture.narrow).map((conditions) => [
      { conditions, answer, row },
    ]);
    for (const name of names) {
      const number = SYSCALLS[name]?.[architecture.column] ?? -1;
      if (number >= 0) for (const rule of rules) addRules(table, number, rule);
      if (multiplexed?.has(name)) for (const rule of rules) multiplexed.add(name, rule);
    }
  }
  multiplexed?.addTo(table);
  return table;
}

/** Every known number that a profile names, whatever it says of it: the highest is as far as its author looked. */
export function lastNumber(profile: Seccomp, architecture: Architecture): number {
  let last = -1;
  for (const { names } of profile.syscalls ?? []) {
    for (const name of names) {
      const number = SYSCALLS[name]?.[architecture.column] ?? -1;
      if (number > last) last = number;
    }
  }
  return last;
}

/** A rule without conditions says all there is to say; of two such the first holds. */
function addRules(table: RuleTable, number: number, rules: readonly Rule[]): void {
  const known = table.get(number);
  if (known?.some(isPlain)) return;
  table.set(number, known === undefined || rules.some(isPlain) ? rules : [...known, ...rules]);
}

/** Conditions hold together, but those of a rule that compares one argument twice each on its own, as runc has it. */
function alternativesOf(args: NonNullable<Row["args"]>, narrow: boolean): (readonly Condition[])[] {
  const conditions = args
    .map(({ index, value, valueTwo, op }) => ({
      index,
      op,
      value: BigInt(value),
      valueTwo: BigInt(valueTwo),
    }))
    .toSorted((a, b) => a.index - b.index);
  const different = new Set(conditions.map(({ index }) => index)).size;
  const alternatives =
    different === conditions.length ? [conditions] : conditions.map((condition) => [condition]);
  return alternatives.map((all) => all.filter((condition) => !holdsAlways(condition, narrow)));
}
