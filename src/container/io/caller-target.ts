import type { Fd } from "../../linux/call/fd";
import { openToReplace } from "../../linux/file/file";
import { callerDescriptor } from "./inherited-descriptors";

/** Opens what a flag of the form FILE|FD names, to write to: a number is a descriptor that the caller has opened. */
export function openForCaller(target: string): Fd {
  return /^\d+$/.test(target) ? callerDescriptor(target, "write") : openToReplace(target);
}
