import { errnoName, errnoNumber } from "../base/errno";
import { HakoError } from "../base/errors";
import { O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { systemError, trySyscall } from "../linux/call/syscall";
import { openNode, setMode } from "../linux/file/file-at";
import { openIfThere } from "../linux/file/path";
import { type FileType, fileStatusOf } from "../linux/file/stat";
import { effectiveUser } from "../linux/process/rootless";

/** renameat2(2). */
export const RENAME = { NOREPLACE: 1, EXCHANGE: 2 } as const;
export const OWNER_WRITES = 0o200;
/** How many names are tried for what can't have its own any more. */
const MOST_NAMES = 100;

/** Lets a directory be moved elsewhere, which writes in it (`..`; rename(2)), until this is closed. */
export function movable(parent: Fd, name: string, type: FileType | undefined): Disposable | undefined {
  if (type !== "directory" || effectiveUser() === 0) return undefined;
  const directory = openNode(parent, name, O.PATH | O.DIRECTORY);
  const { uid, mode } = fileStatusOf(directory);
  if (uid !== effectiveUser() || (mode & OWNER_WRITES) !== 0) {
    directory.close();
    return undefined;
  }
  const closed = {
    [Symbol.dispose]: () => {
      using held = directory;
      setMode(held, mode);
    },
  };
  try {
    setMode(directory, mode | OWNER_WRITES);
  } catch (error) {
    directory.close();
    throw error;
  }
  return closed;
}

export function tryRename(fromParent: Fd, from: string, toParent: Fd, to: string, flags: number): number {
  return trySyscall("renameat2", fromParent.number, from, toParent.number, to, flags);
}

/**
 * Moves what is not hako's back to where it was. Where something else has that name by now it gets one beside it, which the error names: what stays in hako's
 * directory is removed with that.
 */
export function moveBack(fromParent: Fd, from: string, toParent: Fd, to: string): void {
  let name = to;
  for (let count = 1; !movedTo(fromParent, from, toParent, name); count++) {
    if (count > MOST_NAMES) throw systemError("rename", errnoNumber("EEXIST"), from);
    name = `${to}.hako-moved-${count}`;
  }
  if (name === to) return;
  throw new HakoError({
    code: "state",
    message: `${to} was exchanged meanwhile, and once more: what was moved is ${name} now`,
    hint: "what was applied before it stays: look again, and apply the rest",
  });
}

/** Whether a name was free for what is moved there. */
function movedTo(fromParent: Fd, from: string, toParent: Fd, name: string): boolean {
  const result = tryRename(fromParent, from, toParent, name, RENAME.NOREPLACE);
  if (result >= 0) return true;
  const errno = errnoName(-result);
  if (errno === "EEXIST") return false;
  if (errno !== "EINVAL") throw systemError("rename", -result, from);
  // a file system without the flag
  using node = openIfThere(toParent, name, O.PATH | O.NOFOLLOW);
  if (node === undefined) rename(fromParent, from, toParent, name);
  return node === undefined;
}

export function rename(fromParent: Fd, from: string, toParent: Fd, to: string, flags = 0): void {
  const result = tryRename(fromParent, from, toParent, to, flags);
  if (result < 0) throw systemError("rename", -result, from);
}
