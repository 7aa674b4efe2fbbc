import { LOCK, O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { syscallOn, trySyscall } from "../linux/call/syscall";
import { isStillAt } from "../linux/file/file";
import { openAt } from "../linux/file/path";

/**
 * Locks the file at a path (flock(2)), which is made if it is missing and which its owner may remove. Waits for it, unless `kind` has
 * `LOCK.NB`: undefined then if another process has it.
 */
export function tryLockFile(path: string, kind: number): Fd | undefined {
  for (;;) {
    const file = openAt(undefined, path, O.RDWR | O.CREAT | O.NOFOLLOW, 0o600);
    const result = trySyscall("flock", file.number, kind);
    if (result < 0 && (kind & LOCK.NB) !== 0) {
      file.close();
      return undefined;
    }
    if (result < 0) syscallOn(path, "flock", file.number, kind);
    // its owner may have removed it
    if (isStillAt(path, file)) return file;
    file.close();
  }
}

/** `tryLockFile` that waits. */
export function lockFile(path: string, kind: LOCK.SH | LOCK.EX): Fd {
  const lock = tryLockFile(path, kind);
  if (lock === undefined) throw new Error("a lock that is waited for");
  return lock;
}
