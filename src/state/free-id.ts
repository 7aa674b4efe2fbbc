import { exists, statusAt } from "../linux/file/file";
import { randomBytes } from "../linux/kernel/random";
import { type ContainerId, containerId } from "../oci/id";
import { containerDirectory } from "./root";

/** The inode of the host's first pid namespace (include/linux/proc_ns.h, PROC_PID_INIT_INO). */
const FIRST_PID_NAMESPACE = 0xeffffffcn;

/**
 * An id for a container that was given none: this process's pid. Random letters follow where another container may have that id: in a pid
 * namespace, whose pids are not the host's, or when a container has outlived its hako.
 */
export function freeId(root: string): ContainerId {
  const plain = containerId(`run-${process.pid}`);
  if (statusAt("/proc/self/ns/pid")?.inode === FIRST_PID_NAMESPACE && isFree(root, plain)) return plain;
  for (;;) {
    const letters = randomBytes(2).toHex();
    const id = containerId(`${plain}-${letters}`);
    if (isFree(root, id)) return id;
  }
}

function isFree(root: string, id: ContainerId): boolean {
  return !exists(containerDirectory(root, id));
}
