import { O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { systemError, trySyscall } from "../linux/call/syscall";
import { openNode, setMode } from "../linux/file/file-at";
import { type FileType, fileStatusOf } from "../linux/file/stat";
import { effectiveUser } from "../linux/process/rootless";

/** renameat2(2). */
export const RENAME = { NOREPLACE: 1, EXCHANGE: 2 } as const;
export const OWNER_WRITES = 0o200;

/** Lets a directory be moved elsewhere, which writes in it (`..`; rename(2)), until this is closed. */
export function movable(parent: Fd, name: string, type: FileType | undefined): Disposable | undefined {
  if (type !== "directory" || effectiveUser() === 0) return undefined;
  const directory = openNode(parent, name, O.PATH | O.DIRECTORY);
  const { uid, mode } = fileStatusOf(directory);
  const isClosed = uid === effectiveUser() && (mode & OWNER_WRITES) === 0;
  if (isClosed) setMode(directory, mode | OWNER_WRITES);
  return {
    [Symbol.dispose]: () => {
      using held = directory;
      if (isClosed) setMode(held, mode);
    },
  };
}

export function tryRename(fromParent: Fd, from: string, toParent: Fd, to: string, flags: number): number {
  return trySyscall("renameat2", fromParent.number, from, toParent.number, to, flags);
}

export function rename(fromParent: Fd, from: string, toParent: Fd, to: string, flags = 0): void {
  const result = tryRename(fromParent, from, toParent, to, flags);
  if (result < 0) throw systemError("rename", -result, from);
}
