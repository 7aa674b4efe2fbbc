import { type ErrnoName, errnoNumber } from "../../base/errno";

/** With which results of its call a step is a success; with any other one the walk ends there. */
export type Success =
  | "not negative"
  | "anything"
  | "failure"
  /** The walk is to end there, and to tell the result. */
  | "never"
  /** This number: a descriptor that is known beforehand, or a pid. */
  | { exactly: number }
  /** So many bytes, or more. */
  | { atLeast: number }
  /** This failure, or what is not negative. The bounds of a table can say so of the errno next to 0 alone. */
  | { or: "EPERM" }
  /** This failure, and nothing else. */
  | { only: ErrnoName };

/** Beyond all results of system calls. */
const LEAST = Number.MIN_SAFE_INTEGER;
export const MOST = Number.MAX_SAFE_INTEGER;

/** The least and the greatest result that are a success. */
export function boundsOf(success: Success): readonly [least: number, most: number] {
  switch (success) {
    case "not negative":
      return [0, MOST];
    case "anything":
      return [LEAST, MOST];
    case "failure":
      return [LEAST, -1];
    case "never":
      return [MOST, LEAST];
  }
  if ("exactly" in success) return [success.exactly, success.exactly];
  if ("atLeast" in success) return [success.atLeast, MOST];
  if ("or" in success) return [-errnoNumber(success.or), MOST];
  return [-errnoNumber(success.only), -errnoNumber(success.only)];
}

/** Whether a result is a success of a step; most steps do not say what theirs is. */
export function isSuccess(result: number, success: Success | undefined): boolean {
  if (success === undefined) return result >= 0;
  const [least, most] = boundsOf(success);
  return result >= least && result <= most;
}
