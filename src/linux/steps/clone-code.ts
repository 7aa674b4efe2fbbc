import { CFunction, FFIType as T } from "bun:ffi";
import { codeOf, codePage, type MachineCode } from "./machine-code";

/**
 * Machine code that makes a child and, in the child, system calls from a table. JavaScript can't run there: other
 * threads' locks were copied as they were, and one that was held is never released. The child touches its registers and
 * the table only, so it may even share its parent's memory.
 *
 *     spawn(table, clone_args, size):
 *         result = clone3(clone_args, size)
 *         if (result != 0) return result
 *         for (step = table + 24; ; step += 72, table.index++) {
 *             result = syscall(step[0], step[1] ... step[6])
 *             if (result < step[7] || result > step[8]) break
 *         }
 *         table.result = result
 *         write(table.report, &table.index, 16)
 *         exit_group(1)
 *
 * The assembler's text is in test/assembly, and a test compares the two.
 */
export const SPAWN: MachineCode = {
  x64: "41545349 89fc4889 f74889d6 b8b30100 000f0548 85c07404 5b415cc3",
  arm64: "e90300aa e00301aa e10302aa 683680d2 010000d4 400000b4 c0035fd6",
};

/** As `SPAWN`, by clone(flags, stack). */
export const SPAWN_BY_FLAGS: MachineCode = {
  x64: "41545349 89fc4889 f74889d6 b8380000 000f0548 85c07404 5b415cc3",
  arm64: "e90300aa e00301aa e10302aa 881b80d2 010000d4 400000b4 c0035fd6",
};

/** What the child does: the walk of a table, whose address is in r12 or x9. */
export const STEP_WALKER: MachineCode = {
  x64: `
    498d5c24 18488b03 488b7b08 488b7310 488b5318 4c8b5320 4c8b4328 4c8b4b30
    0f05483b 43387c11 483b4340 7f0b49ff 44240848 83c348eb cc498944 2410498b
    3c24498d 742408ba 10000000 b8010000 000f05bf 01000000 b8e70000 000f05`,
  arm64: `
    2a610091 480140a9 410941a9 431142a9 451943a9 472140f9 010000d4 1f0006eb
    0b010054 1f0007eb cc000054 2b0540f9 6b050091 2b0500f9 4a210191 f2ffff17
    200900f9 200140f9 21210091 020280d2 080880d2 010000d4 200080d2 c80b80d2
    010000d4`,
};

type Spawn = (table: number, cloneArgs: number, size: number) => number;
let spawn: Spawn | undefined;

/**
 * `SPAWN_BY_FLAGS` as a function, which takes the table, the flags of clone(2) with the signal of the child's end, and 0; it
 * returns the child's pid or -errno.
 */
export function spawnByFlagsFunction(): Spawn {
  return CFunction({
    ptr: codePage(codeOf(SPAWN_BY_FLAGS, STEP_WALKER)) as never,
    args: [T.u64_fast, T.u64_fast, T.u64_fast],
    returns: T.i32,
  }) as unknown as Spawn;
}

/** `SPAWN` as a function; it returns the child's pid or -errno. */
export function spawnFunction(): Spawn {
  spawn ??= CFunction({
    ptr: codePage(codeOf(SPAWN, STEP_WALKER)) as never,
    args: [T.u64_fast, T.u64_fast, T.u64_fast],
    returns: T.i32,
  }) as unknown as Spawn;
  return spawn;
}
