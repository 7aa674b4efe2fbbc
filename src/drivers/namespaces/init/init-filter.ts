import type { PointingMemory } from "../../../linux/call/argument-memory";
import { type SyscallName, syscallNumberOn } from "../../../linux/call/syscall-numbers";

/** All that it calls from when it lets the program's process go. */
export const INIT_CALLS: readonly SyscallName[] = [
  ...(["futex", "munmap"] as const),
  ...(["rt_sigtimedwait", "waitid", "wait4", "kill", "write", "clock_gettime", "exit_group"] as const),
];

/** linux/audit.h */
const AUDIT_ARCH: Readonly<Record<string, number>> = { x64: 0xc000003e, arm64: 0xc00000b7 };
/** linux/filter.h: load a word, jump if it is this one, end. */
const [LD_W_ABS, JMP_JEQ, RET] = [0x20, 0x15, 0x06];
/** Offsets in struct seccomp_data. */
const [NUMBER_AT, ARCHITECTURE_AT] = [0, 4];
const [ALLOW, KILL_PROCESS] = [0x7fff0000, 0x80000000];

/** The seccomp filter of a first process of hako's, a struct sock_fprog: what is no call of its own kills it. */
export function initFilter(machine: string): PointingMemory {
  const count = INIT_CALLS.length;
  const instructions = [
    [LD_W_ABS, ARCHITECTURE_AT],
    [JMP_JEQ | ((count + 1) << 24), AUDIT_ARCH[machine] ?? 0],
    [LD_W_ABS, NUMBER_AT],
    ...INIT_CALLS.map((call, index) => [JMP_JEQ | ((count - index) << 16), syscallNumberOn(machine, call)]),
    [RET, KILL_PROCESS],
    [RET, ALLOW],
  ];
  return {
    bytes: new BigUint64Array([BigInt(instructions.length), 0n]),
    pointers: [[8, new Uint32Array(instructions.flat())]],
  };
}
