import { errnoNumber } from "../base/errno";
import type { Seccomp } from "../oci/config";
import { ACTIONS, type Action, type Architecture } from "../oci/seccomp-words";
import { MultiplexedCalls } from "./multiplexed";
import { type Condition, holdsAlways, isPlain, type Rule } from "./rule";
import { SYSCALLS } from "./syscalls";

type Row = NonNullable<Seccomp["syscalls"]>[number];

/** The rules of one architecture, by the numbers of the calls. */
export type RuleTable = Map<number, readonly Rule[]>;

const X86_COLUMN = 1;

/** The SECCOMP_RET_* value of an action with its number. An action that takes a number, and has none, gets EPERM. */
export function answerOf(action: Action, errnoRet: number | undefined): number {
  const word = ACTIONS[action];
  return word.data === undefined ? word.value : (word.value | (errnoRet ?? errnoNumber("EPERM"))) >>> 0;
}

/**
 * The rules of a profile for one architecture. Rules with the default action are left out, so that they take nothing from narrower
 * rules. Names that the architecture does not have are skipped.
 */
export function rulesOf(profile: Seccomp, architecture: Architecture): RuleTable {
  const table: RuleTable = new Map();
  const byDefault = answerOf(profile.defaultAction, profile.defaultErrnoRet);
  const multiplexed = architecture.column === X86_COLUMN ? new MultiplexedCalls(byDefault) : undefined;
  for (const [index, { names, action, errnoRet, args }] of (profile.syscalls ?? []).entries()) {
    const answer = answerOf(action, errnoRet);
    if (answer === byDefault) continue;
    const row = { index, names };
    // all names of a row share one list, so that comparing lists by identity finds neighbours that get the same
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

/** The highest number of the calls that a profile names: its author knew of the calls up to that one. */
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

/** Adds the rules of one row. A rule without conditions makes all others pointless; of two such rules the first one holds. */
function addRules(table: RuleTable, number: number, rules: readonly Rule[]): void {
  const known = table.get(number);
  if (known?.some(isPlain)) return;
  table.set(number, known === undefined || rules.some(isPlain) ? rules : [...known, ...rules]);
}

/**
 * The conditions of a row, each list of which makes a rule. All of them must hold; but where a row compares one argument twice, each
 * alone is a rule, as with runc.
 */
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
