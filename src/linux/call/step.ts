import type { ErrnoName } from "../../base/errno";
import type { Memory } from "./argument-memory";
import type { Success } from "./success";
import type { SyscallName } from "./syscall-numbers";

/** An argument: a number, a path or text (passed NUL-terminated), memory, or null. */
export type SyscallArgument = number | bigint | string | Memory | null;

/** A system call as data. A walk of several ends at the first that is no success. */
export interface Step {
  what: string;
  call: SyscallName;
  /** Text is passed NUL-terminated, memory by its address. */
  args: readonly StepArgument[];
  /** "not negative" if not given. */
  success?: Success;
  /** What to try when it fails so. */
  hint?: ((errno: ErrnoName | undefined) => string | undefined) | undefined;
}

export type StepArgument = number | bigint | string | Memory;

/** How many steps succeeded, and the result of the last one that was made. */
export type Walk = readonly [made: number, result: number];

/** A system call that makes a process, for whoever makes it. */
export interface CloneSyscall {
  call: "clone3" | "clone";
  args: readonly [Memory | bigint, number];
}
