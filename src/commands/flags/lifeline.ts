import type { Argument } from "../../cli/arguments";
import type { Fd } from "../../linux/call/fd";

/** Loaded on first use. */
const rare = {
  get inheritedDescriptors() {
    return require("../../container/io/inherited-descriptors") as typeof import("../../container/io/inherited-descriptors");
  },
};

/** Of commands that do nothing but to wait. */
export const WAITING_LIFELINE = {
  type: "string",
  keepsEmpty: true,
  valueHint: "FD",
  description:
    "don't wait on when the other end of a pipe or socket that you have opened is closed, or the process of a pidfd has ended; the exit status is 141 then",
} as const satisfies Argument;

/** The descriptor whose end is the command's; undefined if none is named. */
export function callersLifeline(digits: string | undefined): Fd | undefined {
  return digits === undefined ? undefined : rare.inheritedDescriptors.callerLifeline(digits);
}
