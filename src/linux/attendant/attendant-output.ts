import { AT, O } from "../call/constants";
import { Fd } from "../call/fd";
import { trySyscall } from "../call/syscall";
import { fileStatusOf } from "../file/stat";
import { isTerminal } from "../terminal/pty";

const OUTPUT = 1;

/** How an attendant writes to standard output: it must not wait, for signals come meanwhile. */
export interface AttendedOutput {
  fd: number;
  /** Whether a write never waits; else it is waited for until some bytes can be written. */
  immediate: boolean;
  socket: boolean;
}

/** Standard output, or error. What others have open too must not be made non-blocking: it is opened anew where that is possible. */
export function openOutput(number = OUTPUT): AttendedOutput {
  const fd = new Fd(number, "standard output");
  const { type, major, minor } = fileStatusOf(fd);
  if (type === "socket") return { fd: number, immediate: true, socket: true };
  const isMultiplexer = type === "character" && major === 5 && minor === 2;
  if (type === "fifo" || (isTerminal(number) && !isMultiplexer)) {
    const flags = O.WRONLY | O.NONBLOCK | O.NOCTTY | O.CLOEXEC;
    const opened = trySyscall("openat", AT.FDCWD, `/proc/self/fd/${number}`, flags, 0);
    if (opened >= 0) return { fd: opened, immediate: true, socket: false };
    return { fd: number, immediate: false, socket: false };
  }
  return { fd: number, immediate: true, socket: false };
}
