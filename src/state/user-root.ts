import { callerVariable } from "../linux/file/caller-environment";
import { changeMode, hasErrno, statusAt } from "../linux/file/file";
import { isRootless } from "../linux/process/rootless";

const STICKY = 0o1000;

/** An ordinary user's state directory, which lives as long as the session; as runc. undefined without a session. */
export function userRoot(): string | undefined {
  const directory = callerVariable("XDG_RUNTIME_DIR");
  return directory === undefined || directory === "" ? undefined : `${directory}/hako`;
}

/** The default of --root. */
export function defaultRoot(): string {
  const own = userRoot();
  return own !== undefined && isRootless() ? own : "/run/hako";
}

/** Sets the sticky bit: who tidies up in a runtime directory leaves such files (XDG Base Directory Specification). */
export function keepUserRoot(root: string): void {
  if (root !== userRoot()) return;
  const mode = statusAt(root)?.mode ?? STICKY;
  if ((mode & STICKY) !== 0) return;
  try {
    changeMode(root, mode | STICKY);
  } catch (error) {
    // another user owns it, root perhaps
    if (!hasErrno(error, "EPERM")) throw error;
  }
}
