import type { ErrnoName } from "../../base/errno";
import type { Memory } from "./memory";
import type { SyscallName } from "./syscall-numbers";

/** An argument: a number, a path or text (passed NUL-terminated), memory, or null. */
export type SyscallArgument = number | bigint | string | Memory | null;

/** One system call of a process that has not executed anything yet. Its failure ends the process, unless it is `optional`. */
export interface Step {
  what: string;
  call: SyscallName;
  /** Text is passed NUL-terminated, memory by its address. */
  args: readonly StepArgument[];
  /** A failure of this one is passed over. */
  optional?: boolean;
  /** The least result that is a success; 0 if not given. */
  least?: number;
  /** The greatest one. */
  most?: bigint;
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
