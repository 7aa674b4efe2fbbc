import { type Condition, isPlain, type Rule } from "./rule";
import { SYSCALLS } from "./syscalls";

/**
 * Calls that x86 programs also reach through socketcall(2) and ipc(2), whose first argument says which is meant
 * (linux/net.h, linux/ipc.h). The others are in memory, where a filter can't look: what a rule forbids by looking at
 * arguments is forbidden there whatever they are, and what it allows by looking is not allowed.
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
/** ipc(2) takes a version of the call in the upper half of the number. */
const IPC_CALL = 0xffffn;
/** SECCOMP_RET_ACTION_FULL: without the number that goes with an action. */
const ACTION = 0xffff0000;

/** What the rules of a profile say of these calls. */
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

  /** Adds them to what the profile says of socketcall and ipc themselves, in the order of its rows. */
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

/** The kernel's order of actions (filter.rst): as signed numbers the strictest is the least. */
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
