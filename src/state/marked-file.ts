import type { Fd } from "../linux/call/fd";
import { trySyscall } from "../linux/call/syscall";

/** An extended attribute of what hako has made in a user's directory, and will remove. File systems without such attributes have no marks. */
const MARK = "user.hako.mount-point";

export function isMarked(file: Fd): boolean {
  return trySyscall("getxattr", file.path, MARK, null, 0) >= 0;
}

export function mark(file: Fd): void {
  trySyscall("setxattr", file.path, MARK, null, 0, 0);
}

export function unmark(file: Fd): void {
  trySyscall("removexattr", file.path, MARK);
}
