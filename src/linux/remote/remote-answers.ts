import { HakoError } from "../../base/errors";
import { W } from "../call/constants";
import type { SyscallArgument } from "../call/step";
import type { SyscallName } from "../call/syscall-numbers";

/** What a process may answer that others may trace, and answer in its place: no more than the kernel does. */

/** The least that a system call answers (MAX_ERRNO, include/linux/err.h). */
export const LEAST_ANSWER = -4095;

/** How long such a process may be silent in all, in milliseconds. */
export const PATIENCE_MS = 10_000;

/** Whether a result may be that of a system call. */
export function isAnswer(result: number): boolean {
  return Number.isSafeInteger(result) && result >= LEAST_ANSWER;
}

/**
 * The greatest result that a call can have: as many bytes as its buffer has. `buffer` is the place of that among the arguments.
 */
export function mostOf(words: readonly (number | bigint)[], buffer: number | undefined): number {
  return buffer === undefined ? Number.POSITIVE_INFINITY : Number(words[buffer + 1] ?? 0);
}

/** How many milliseconds a call may wait for something else than the process that makes it. */
export function waitOf(name: SyscallName, args: readonly SyscallArgument[]): number {
  if (name === "wait4") return (Number(args[2] ?? 0) & W.NOHANG) === 0 ? Number.POSITIVE_INFINITY : 0;
  if (name !== "ppoll") return 0;
  const timeout = args[2];
  if (!(timeout instanceof BigInt64Array)) return Number.POSITIVE_INFINITY;
  return Number(timeout[0] ?? 0n) * 1000 + Number(timeout[1] ?? 0n) / 1_000_000;
}

const OTHERS =
  "another container in its pid namespace may have changed or stopped it: one with CAP_SYS_PTRACE or CAP_KILL";

/** Nobody but who can get at the process, or its memory, makes it say so. */
export function forged(what: string): HakoError {
  return new HakoError({
    code: "system",
    message: `the container's process answers what no kernel does: ${what}`,
    hint: OTHERS,
  });
}

/** The error of a process that says nothing any more. */
export function silence(): HakoError {
  return new HakoError({ code: "system", message: "the container's process does not go on", hint: OTHERS });
}
