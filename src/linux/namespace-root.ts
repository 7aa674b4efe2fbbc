import type { Fd } from "./fd";
import { hasErrno, statusAt } from "./file";
import { O, openAt } from "./path";
import { mountIdOf, statusOf } from "./stat";

/**
 * The root directory that joining a process's mount namespace gives (setns(2)). The process may have changed its own
 * (chroot(2)): then it is above. Whose mount namespace is ours has nothing but its own.
 */
export function namespaceRoot(pid: number): Fd {
  const inode = (process: string) => statusAt(`/proc/${process}/ns/mnt`)?.inode;
  const own = openAt(undefined, `/proc/${pid}/root`, O.PATH | O.DIRECTORY);
  if (inode(String(pid)) === inode("self")) return own;
  let root = own;
  try {
    for (;;) {
      const above = parentOf(root);
      if (above === undefined) return root;
      root.close();
      root = above;
    }
  } catch (error) {
    root.close();
    throw error;
  }
}

/** The directory above; undefined at the end of the way up, which in a foreign namespace is its root, not ours. */
function parentOf(directory: Fd): Fd | undefined {
  let above: Fd;
  try {
    above = openAt(directory, "..", O.PATH | O.DIRECTORY);
  } catch (error) {
    // an ordinary user may have no right to search it
    if (hasErrno(error, "EACCES")) return undefined;
    throw error;
  }
  if (mountIdOf(above) !== mountIdOf(directory) || statusOf(above).inode !== statusOf(directory).inode)
    return above;
  above.close();
  return undefined;
}
