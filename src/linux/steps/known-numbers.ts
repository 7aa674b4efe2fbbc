import { F } from "../call/constants";
import type { Fd } from "../call/fd";
import type { Step } from "../call/step";
import { syscall } from "../call/syscall";

/**
 * Steps in one walk can't hand descriptors on, but the kernel gives the lowest number that is free: in a process of one thread that is known.
 */

/** The lowest numbers that are free for descriptors in the process that acts. They are taken, and have to be closed before they are used. */
export function freeNumbers(any: Fd, count: number): number[] {
  return Array.from({ length: count }, () => syscall("fcntl", any.number, F.DUPFD_CLOEXEC, 0));
}

export function closeNumberStep(number: number): Step {
  return { what: `close ${number}`, call: "close", args: [number], success: "anything" };
}
