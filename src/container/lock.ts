import type { Fd } from "../linux/fd";
import { hasErrno } from "../linux/file";
import { O, openAt } from "../linux/path";
import { syscallOn } from "../linux/syscall";
import type { ContainerId } from "./id";
import { containerDirectory, hasDirectory } from "./record";

const LOCK_EX = 2;

/**
 * Holds a container for this process until it is disposed, or the process ends: a lock on its directory. undefined when
 * there is no such container, or it was deleted while we waited.
 */
export function lockContainer(root: string, id: ContainerId): Fd | undefined {
  const directory = containerDirectory(root, id);
  let fd: Fd;
  try {
    fd = openAt(undefined, directory, O.RDONLY | O.DIRECTORY | O.CLOEXEC);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
  syscallOn(directory, "flock", fd.number, LOCK_EX);
  if (hasDirectory(root, id)) return fd;
  fd.close();
  return undefined;
}
