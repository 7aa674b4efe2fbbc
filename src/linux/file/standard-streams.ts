import { AT, F, O } from "../call/constants";
import { syscallOn, trySyscall } from "../call/syscall";

/**
 * Has every program that is executed from here find its standard streams open. Where the caller has closed one, Bun has opened
 * the null device in its place, but for itself alone (close-on-exec): the first file that a program opens would become
 * what others write their errors to.
 */
export function passStandardStreams(): void {
  for (let stream = 0; stream <= 2; stream++) {
    // the lowest number that is free: those below are open by now
    if (trySyscall("fcntl", stream, F.SETFD, 0) < 0)
      syscallOn("/dev/null", "openat", AT.FDCWD, "/dev/null", O.RDWR, 0);
  }
}
