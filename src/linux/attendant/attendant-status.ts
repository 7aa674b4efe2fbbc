import { HakoError } from "../../base/errors";
import { systemError } from "../call/syscall";

/** In place of the digits of a number below 2^12, base 16, that begin with "a". */
export const STATUS_DIGITS = "aaa";
export const FIRST_DIGIT = 97;
export const DIGIT_BITS = 4;

/** The number that an attendant has put in place of the digits. */
export function statusOfDigits(digits: string): number {
  let status = 0;
  for (let at = 0; at < digits.length; at++)
    status = (status << DIGIT_BITS) | (digits.charCodeAt(at) - FIRST_DIGIT);
  return status;
}

/** In the exit status of a process that a signal has ended. */
export const SIGNALLED = 128;

/** What an attendant may come to that is no exit status of a process; to the first two an errno is added. The last one: the time was over, and it has killed the process. */
export const CAME_TO = { unwritten: 0x100, unread: 0x200, broken: 0x300, late: 0x400 } as const;

const ERRNO = 0xff;

/** The error that one of `CAME_TO` stands for; `what` was attended. */
export function attendanceError(status: number, what: string): HakoError {
  if (status >= CAME_TO.broken)
    return new HakoError({ code: "system", message: `${what} could not be attended` });
  return status >= CAME_TO.unread
    ? systemError("read", status & ERRNO, "standard input")
    : systemError("write", status & ERRNO, "standard output");
}
