import { Fd } from "./fd";
import { hasErrno, statusAt } from "./file";
import { O, openAt } from "./path";
import { mountIdOf, statusOf } from "./stat";
import { syscallOn } from "./syscall";

const ROOT = "root directory of a mount namespace";
/** Many at once, as the container chooses how deep it is. Above a root there is only itself. */
const UP = "../".repeat(1024);

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

/** A directory above; undefined at the end of the way up, which in a foreign namespace is its root, not ours. */
function parentOf(directory: Fd): Fd | undefined {
  let above: Fd;
  try {
    const flags = O.PATH | O.DIRECTORY | O.CLOEXEC;
    above = new Fd(syscallOn(ROOT, "openat", directory.number, UP, flags, 0), ROOT);
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
