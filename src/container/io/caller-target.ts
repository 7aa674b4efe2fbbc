import type { Fd } from "../../linux/call/fd";
import { callerDescriptor } from "../../linux/file/caller-descriptor";
import { openToReplace } from "../../linux/file/file";

/** Opens what a flag of the form FILE|FD names, to write to: a number is a descriptor that the caller has opened. */
export function openForCaller(target: string): Fd {
  return /^\d+$/.test(target) ? callerDescriptor(target, "write") : openToReplace(target);
}
