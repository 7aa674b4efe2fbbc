import { callerVariable } from "../linux/file/caller-environment";
import { changeMode, hasErrno, statusAt } from "../linux/file/file";
import { isRootless } from "../linux/process/rootless";

const STICKY = 0o1000;

/** Where an ordinary user's state is kept, for as long as the session lives; as runc. undefined without a session. */
export function userRoot(): string | undefined {
  const directory = callerVariable("XDG_RUNTIME_DIR");
  return directory === undefined || directory === "" ? undefined : `${directory}/hako`;
}

/** Where state is kept unless the caller says. */
export function defaultRoot(): string {
  const own = userRoot();
  return own !== undefined && isRootless() ? own : "/run/hako";
}

/** Whoever tidies up there leaves what has the sticky bit (XDG Base Directory Specification). */
export function keepUserRoot(root: string): void {
  if (root !== userRoot()) return;
  const mode = statusAt(root)?.mode ?? STICKY;
  if ((mode & STICKY) !== 0) return;
  try {
    changeMode(root, mode | STICKY);
  } catch (error) {
    // another user's, root's perhaps
    if (!hasErrno(error, "EPERM")) throw error;
  }
}
