import { HakoError } from "../base/errors";
import { LOCK, O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { systemError, trySyscall } from "../linux/call/syscall";
import { hasErrno, isStillAt } from "../linux/file/file";
import { openAt } from "../linux/file/path";
import type { ContainerId } from "../oci/id";
import { checkRoot, containerDirectory } from "./root";

const WAIT_MS = 30_000;
const LONGEST_PAUSE_MS = 20;

/**
 * Locks a container's directory until the result is disposed, or this process ends. undefined when there is no such container, or when it was
 * deleted while this process waited for the lock.
 */
export function lockContainer(root: string, id: ContainerId, wait = WAIT_MS): Fd | undefined {
  checkRoot(root);
  const directory = containerDirectory(root, id);
  let fd: Fd;
  try {
    fd = openAt(undefined, directory, O.RDONLY | O.DIRECTORY | O.CLOEXEC);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
  try {
    waitForLock(fd, id, directory, wait);
    // while this process waited, the container may have been deleted and its id claimed anew
    if (isStillAt(directory, fd)) return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
  fd.close();
  return undefined;
}

/** Waits for the lock, but not for ever: the holder may itself be waiting for something, such as a hook. */
function waitForLock(fd: Fd, id: ContainerId, directory: string, wait: number): void {
  const deadline = performance.now() + wait;
  for (let pause = 1; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    const result = trySyscall("flock", fd.number, LOCK.EX | LOCK.NB);
    if (result === 0) return;
    const error = systemError("flock", -result, directory);
    if (error.errno !== "EAGAIN") throw error;
    if (performance.now() > deadline) {
      throw new HakoError({
        code: "state",
        message: `container "${id}" is busy: another command has held it for ${wait / 1000} s`,
        hint: "see ps for a hako command that hangs",
      });
    }
    Bun.sleepSync(pause);
  }
}
