import type { Seccomp } from "../oci/config";
import type { Condition } from "./conditions";
import { SYSCALLS } from "./syscalls";
import { ACTIONS, type Architecture, type Operator } from "./words";

const EPERM = 1;

/** One thing that a profile says of a call: an answer, if all conditions hold. */
export interface Rule {
  conditions: readonly Condition[];
  answer: number;
}

/** The rules of one architecture by the calls' numbers. */
export type RuleTable = Map<number, readonly Rule[]>;

/** Calls that x86 programs also reach through socketcall(2) and ipc(2), by their numbers there (linux/net.h, linux/ipc.h). */
const SOCKETCALL =
  "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg".split(
    " ",
  );
const IPC: Readonly<Record<string, number>> = {
  semop: 1,
  semget: 2,
  semctl: 3,
  semtimedop: 4,
  msgsnd: 11,
  msgrcv: 12,
  msgget: 13,
  msgctl: 14,
  shmat: 21,
  shmdt: 22,
  shmget: 23,
  shmctl: 24,
};
const X86_COLUMN = 1;

/** SECCOMP_RET_* of an action's name and number, EPERM if it takes a number and has none. */
export function answerOf(action: string, errnoRet: number | undefined): number {
  const word = ACTIONS[action];
  if (word === undefined) throw new Error(`unknown action ${action}`); // the schema knows them all
  return word.data === undefined ? word.value : (word.value | (errnoRet ?? EPERM)) >>> 0;
}

/**
 * The rules of a profile for one architecture. What says the default action is left out, so that it doesn't take from what
 * a narrower rule says; names that the architecture doesn't have are skipped.
 */
export function rulesOf(profile: Seccomp, architecture: Architecture): RuleTable {
  const table: RuleTable = new Map();
  const byDefault = answerOf(profile.defaultAction, profile.defaultErrnoRet);
  for (const { names, action, errnoRet, args } of profile.syscalls ?? []) {
    const answer = answerOf(action, errnoRet);
    if (answer === byDefault) continue;
    const alternatives = alternativesOf((args ?? []).map(conditionOf));
    // one list for all names of a row, so that it is seen at a glance that they get the same
    const rules = alternatives.map((conditions) => [{ conditions, answer }]);
    // arguments of a multiplexed call are in memory, where a filter can't look
    const isMultiplexed = architecture.column === X86_COLUMN && (args ?? []).length === 0;
    for (const name of names) {
      const number = SYSCALLS[name]?.[architecture.column] ?? -1;
      if (number >= 0) for (const rule of rules) addRules(table, number, rule);
      const multiplexed = isMultiplexed ? multiplexer(name) : undefined;
      if (multiplexed !== undefined)
        addRules(table, multiplexed.number, [{ conditions: [multiplexed.condition], answer }]);
    }
  }
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

/** It says all there is to say. */
export function isPlain({ conditions }: Rule): boolean {
  return conditions.length === 0;
}

function conditionOf(arg: NonNullable<NonNullable<Seccomp["syscalls"]>[number]["args"]>[number]): Condition {
  const { index, value, valueTwo, op } = arg;
  return { index, op: op as Operator, value: BigInt(value), valueTwo: BigInt(valueTwo) };
}

/** Conditions hold together, but those of a rule that compares one argument twice each on its own, as runc has it. */
function alternativesOf(conditions: readonly Condition[]): (readonly Condition[])[] {
  const different = new Set(conditions.map(({ index }) => index)).size;
  return different === conditions.length ? [conditions] : conditions.map((condition) => [condition]);
}

function multiplexer(name: string): { number: number; condition: Condition } | undefined {
  const socket = SOCKETCALL.indexOf(name) + 1;
  const inner = socket > 0 ? socket : IPC[name];
  if (inner === undefined) return undefined;
  const number = SYSCALLS[socket > 0 ? "socketcall" : "ipc"]?.[X86_COLUMN] ?? -1;
  return { number, condition: { index: 0, op: "SCMP_CMP_EQ", value: BigInt(inner), valueTwo: 0n } };
}
