import { concatenated } from "../call/bytes";
import { STEP_WALKER } from "../steps/clone-code";
import { INTERPRETER } from "../steps/interpreter-code";
import { codeFor, loadNumber, type MachineCode } from "../steps/machine-code";

/** Where a remote process has the range that it shares with who drives it. */
export const RANGE_AT = 0x10000000;
/** How large that is, in bytes: more than the kernel lets arguments and environment be. Only pages that are used take memory. */
export const RANGE_SIZE = 0x1000000;

/** Offsets in the range. */
export const RANGE = {
  /** 32 bits: the number of the last call that was asked for, and a futex that the process waits at. */
  asked: 0,
  /** 32 bits: the number of the last call that was answered, and a futex that who drives it waits at. */
  answered: 4,
  /** 64 bits each: the call's number, or one of `KIND`; its six arguments; its result. */
  call: 16,
  arguments: 24,
  result: 72,
  /** The result of the step at which a walk ended, or of what comes after it. */
  stepResult: 80,
  /** 32 bits: a futex of a child's, which goes on when it is not 0. */
  go: 88,
  /** 32 bits: a socket's descriptor in the process, which ends when the socket's other end has been closed; 0 if there is none. */
  lifeline: 112,
} as const;

/** What is no system call. */
export const KIND = {
  /** (steps, how many): makes the steps' system calls; the answer is how many succeeded. */
  walk: -1,
  /** (number of clone3 or clone, its two arguments): makes a copy of the process, which is driven from then on; this one answers the pid and ends. */
  birth: -2,
  /** (number of clone3 or clone, its two arguments, table): makes a child that walks the table and ends; the answer is its pid. */
  spawn: -3,
  /** (table): walks the table, and ends with it. */
  become: -4,
  /**
   * (steps, how many, number of clone3 or clone, its two arguments, table): as `walk`; then makes a child that walks the table. The answer
   * is how many steps succeeded; after all of them the clone's result is in `stepResult`, and the process ends if that is a pid.
   */
  bear: -5,
  /** (data): goes on as the program of rows whose data are at this address, which may walk a table. */
  rows: -6,
} as const;

/**
 * The program of a remote process, with the range's descriptor in a register; behind it come the code that walks a table, and the interpreter of
 * rows, which another copy of that code follows.
 *
 *     mmap(RANGE_AT, RANGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0)
 *     for (last = 0;;) {
 *         if (range.asked == last) {
 *             if (futex(&range.asked, FUTEX_WAIT, last, 1 s) == -ETIMEDOUT && range.lifeline != 0 &&
 *                 poll(range.lifeline, no events, 0) says POLLHUP) exit_group(0)
 *             continue
 *         }
 *         last = range.asked
 *         switch (range.call) {
 *             case walk: for (made = 0; made < count; made++) {
 *                     range.stepResult = result = syscall(step[made])
 *                     if (result < least || result > most) break
 *                 }
 *                 result = made; break
 *             case bear: as walk; if (made == count) {
 *                     range.stepResult = result = clone3(...), or clone
 *                     if (result == 0) goto table
 *                     if (result > 0) { answer made; exit_group(0) }
 *                 }
 *                 result = made; break
 *             case birth: result = clone3(...), or clone
 *                 if (result == 0) { prctl(PR_SET_PDEATHSIG, SIGKILL); continue }
 *                 if (result > 0) { answer; exit_group(0) }
 *                 break
 *             case spawn: result = clone3(...), or clone; if (result == 0) goto table; break
 *             case become: goto table
 *             case rows: goto the interpreter
 *             default: result = syscall(range.call, range.arguments...)
 *         }
 *         range.result = result; range.answered = last; futex(&range.answered, FUTEX_WAKE, 1)
 *     }
 *     table: as in clone-code.ts
 *
 * The assembler's text is in test/assembly, and a test compares the two.
 */
export const REMOTE: MachineCode = {
  x64: `
    bf000000 10be0000 0001ba03 00000041 ba110000 004531c9 b8090000 000f0541 bc000000
    1031db41 8b042439 d875474c 89e731f6 89da6a00 6a014989 e2b8ca00 00000f05 4883c410
    4883f892 75d9418b 7c247085 ff74d057 4889e7be 01000000 31d2b807 0000000f 055f480f
    bae73473 b6e94001 000089c3 498b4424 10498b7c 2418498b 74242049 8b542428 4d8b5424
    304d8b44 24384d8b 4c244048 85c07827 0f054989 44244841 895c2404 498d7c24 04be0100
    0000ba01 000000b8 ca000000 0f05e960 ffffff48 ffc07433 48ffc00f 84ab0000 0048ffc0
    0f84f700 000048ff c0740c48 ffc0750f bd010000 00eb1249 89fce9f8 00000049 89fce94f
    01000031 ed4989fe 4989f545 31ff4d39 ef7d3749 8b06498b 7e08498b 7610498b 56184d8b
    56204d8b 46284d8b 4e300f05 49894424 50493b46 387c0f49 3b46407f 0949ffc7 4983c648
    ebc485ed 742e4d39 ef7c2949 8b442428 498b7c24 30498b74 24380f05 4885c074 0c498944
    2450780c 4c89f8eb 254d8b64 2440eb77 4c89f8e9 22ffffff 4889f848 89f74889 d60f0548
    85c00f88 0effffff 74294989 44244841 895c2404 498d7c24 04be0100 0000ba01 000000b8
    ca000000 0f0531ff b8e70000 000f05bf 01000000 be090000 00b89d00 00000f05 e952feff
    ff4d89d6 4889f848 89f74889 d60f0548 85c00f85 b6feffff 4d89f4`,
  arm64: `
    0000a2d2 0120a0d2 620080d2 230280d2 050080d2 c81b80d2 010000d4 1300a2d2
    14008052 60fedf88 1f00146b 61030054 e00313aa 010080d2 e203142a 290080d2
    e97fbfa9 e3030091 480c80d2 010000d4 ff430091 1fb801b1 61feff54 607240b9
    20feff34 e07fbfa9 ff7fbfa9 e0430091 210080d2 e2030091 030080d2 040080d2
    280980d2 010000d4 e00b40f9 ff830091 a0fca7b6 50000014 f403002a 680241a9
    610a42a9 631243a9 652240f9 4801f8b7 010000d4 602600f9 60120091 14fc9f88
    210080d2 220080d2 480c80d2 010000d4 d5ffff17 080500b1 e0010054 080500b1
    00060054 080500b1 60080054 080500b1 a0000054 080500b1 a1000054 380080d2
    06000014 e90300aa 42000014 e90300aa 59000014 180080d2 f50300aa f60301aa
    170080d2 ff0216eb ea010054 a80240a9 a10a41a9 a31242a9 a51a40f9 010000d4
    602a00f9 a69e43a9 1f0006eb cb000054 1f0007eb 8c000054 f7060091 b5220191
    f1ffff17 b80100b4 ff0216eb 6b010054 688242a9 611e40f9 010000d4 a00000b4
    602a00f9 a000f8b7 e00317aa 0b000014 692240f9 1f000014 e00317aa c6ffff17
    e80300aa e00301aa e10302aa 010000d4 20f8ffb7 600100b4 602600f9 60120091
    14fc9f88 210080d2 220080d2 480c80d2 010000d4 000080d2 c80b80d2 010000d4
    200080d2 210180d2 e81480d2 010000d4 8dffff17 f50303aa e80300aa e00301aa
    e10302aa 010000d4 60f5ffb5 e90315aa`,
};

/** r8d and x4. */
export const DESCRIPTOR_REGISTER = { x64: [0x41, 0xb8], arm64: 4 };

/** The code of a remote process that has its range in this descriptor. */
export function remoteCode(fd: number, machine: string = process.arch): Uint8Array {
  const parts = [REMOTE, STEP_WALKER, INTERPRETER, STEP_WALKER];
  return concatenated([loadNumber(fd, DESCRIPTOR_REGISTER, machine), codeFor(machine, ...parts)]);
}
