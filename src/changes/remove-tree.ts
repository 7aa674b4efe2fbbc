import { errnoName } from "../base/errno";
import { AT, O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { syscallOn, systemError, trySyscall } from "../linux/call/syscall";
import { hasErrno, listNames } from "../linux/file/file";
import { openNode, setMode } from "../linux/file/file-at";
import { fileStatusOf } from "../linux/file/stat";
import { RENAME, tryRename } from "./move";

const ALL_OF_OWNER = 0o700;

/**
 * Removes a file, or a directory with all that is in it, that somebody hostile may have made: of any depth, with modes that shut out their owner.
 * What is in a directory's directories is moved up, under names that begin with `prefix`, so that no path gets long. What has such a name is ours.
 */
export function removeHostileTree(parent: Fd, name: string, prefix: string): void {
  const pending = [name];
  let made = 0;
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (removeAtOnce(parent, next)) continue;
    using directory = openOwn(parent, next);
    for (const inner of listNames(directory.path)) {
      if (removeAtOnce(directory, inner)) continue;
      openOwn(directory, inner).close();
      const moved = freeName(parent, directory, inner, () => `${prefix}r${made++}`);
      pending.push(moved);
    }
    syscallOn(next, "unlinkat", parent.number, next, AT.REMOVEDIR);
  }
}

/** Moves a directory up under a name that nothing has. */
function freeName(parent: Fd, directory: Fd, inner: string, nextName: () => string): string {
  for (;;) {
    const name = nextName();
    const result = tryRename(directory, inner, parent, name, RENAME.NOREPLACE);
    if (result >= 0) return name;
    if (errnoName(-result) !== "EEXIST") throw systemError("rename", -result, inner);
  }
}

/** Removes what is no directory, or an empty one; a missing one is no error. */
function removeAtOnce(parent: Fd, name: string): boolean {
  const result = trySyscall("unlinkat", parent.number, name, 0);
  if (result >= 0 || errnoName(-result) === "ENOENT") return true;
  if (errnoName(-result) !== "EISDIR") throw systemError("unlinkat", -result, name);
  const removed = trySyscall("unlinkat", parent.number, name, AT.REMOVEDIR);
  if (removed >= 0 || errnoName(-removed) === "ENOENT") return true;
  if (["ENOTEMPTY", "EEXIST"].includes(errnoName(-removed))) return false;
  throw systemError("rmdir", -removed, name);
}

/** Opens a directory whose owner may do all in it afterwards. */
function openOwn(parent: Fd, name: string): Fd {
  using node = openNode(parent, name, O.PATH | O.DIRECTORY);
  if ((fileStatusOf(node).mode & ALL_OF_OWNER) !== ALL_OF_OWNER) {
    try {
      setMode(node, ALL_OF_OWNER);
    } catch (error) {
      // another owner's, in which this user may write all the same
      if (!hasErrno(error, "EPERM")) throw error;
    }
  }
  return openNode(parent, name, O.RDONLY | O.DIRECTORY);
}
