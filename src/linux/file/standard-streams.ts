import { AT, F, O } from "../call/constants";
import { syscallOn, trySyscall } from "../call/syscall";

/**
 * Makes descriptors 0 to 2 open for every program that this process executes. Where the caller has closed one, Bun has opened
 * /dev/null in its place, but close-on-exec: in the program that follows the first file that is opened would get the number, and
 * others' error messages.
 */
export function passStandardStreams(): void {
  for (let stream = 0; stream <= 2; stream++) {
    // the lowest number that is free: those below are open by now
    if (trySyscall("fcntl", stream, F.SETFD, 0) < 0)
      syscallOn("/dev/null", "openat", AT.FDCWD, "/dev/null", O.RDWR, 0);
  }
}
