import { type Condition, isPlain, type Rule } from "./rule";
import { SYSCALLS } from "./syscalls";

/**
 * Calls that programs of 32-bit x86 make also through socketcall(2) and ipc(2), whose first argument says which call is meant
 * (linux/net.h, linux/ipc.h). The other arguments are in memory, where a filter can't look. So for these ways a rule that forbids by
 * conditions forbids always, and one that allows by conditions never allows.
 */

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
const COLUMN = 1;
/** ipc(2) has a version in the upper half of the number. */
const IPC_CALL = 0xffffn;
/** SECCOMP_RET_ACTION_FULL: an answer without its number. */
const ACTION = 0xffff0000;

/** The rules of a profile for these calls. */
export class MultiplexedCalls {
  readonly #rules = new Map<string, Rule>();

  constructor(private readonly byDefault: number) {}

  has(name: string): boolean {
    return SOCKETCALL.includes(name) || IPC[name] !== undefined;
  }

  add(name: string, rules: readonly Rule[]): void {
    for (const rule of rules) {
      const known = this.#rules.get(name);
      if (known !== undefined && isPlain(known)) return;
      if (isPlain(rule) || isStricter(rule.answer, known?.answer ?? this.byDefault))
        this.#rules.set(name, rule);
    }
  }

  /** Adds the rules to those of socketcall and ipc themselves, in the order of the profile's rows. */
  addTo(table: Map<number, readonly Rule[]>): void {
    for (const [name, { answer, row }] of this.#rules) {
      const { number, condition } = multiplexer(name, isStricter(answer, this.byDefault));
      const rules = table.get(number) ?? [];
      if (rules.some(isPlain)) continue;
      const added = [...rules, { conditions: [condition], answer, row }];
      table.set(
        number,
        added.toSorted((a, b) => a.row.index - b.row.index),
      );
    }
  }
}

/** The kernel's order of actions (filter.rst): as a signed number the strictest action is the least. */
function isStricter(answer: number, than: number): boolean {
  return (answer & ACTION) < (than & ACTION);
}

function multiplexer(name: string, forbids: boolean): { number: number; condition: Condition } {
  const socket = SOCKETCALL.indexOf(name) + 1;
  const inner = BigInt(socket > 0 ? socket : (IPC[name] ?? 0));
  const number = SYSCALLS[socket > 0 ? "socketcall" : "ipc"]?.[COLUMN] ?? -1;
  const condition: Condition =
    socket === 0 && forbids
      ? { index: 0, op: "SCMP_CMP_MASKED_EQ", value: IPC_CALL, valueTwo: inner }
      : { index: 0, op: "SCMP_CMP_EQ", value: inner, valueTwo: 0n };
  return { number, condition };
}
