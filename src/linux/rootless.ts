import { hasErrno, readText } from "./file";

/** The map of the initial user namespace: every id is itself (user_namespaces(7)). */
const INITIAL_MAP = /^\s*0\s+0\s+4294967295\s*$/;

/** Whether this process is in a user namespace that somebody made: its root is not the host's. */
export function inUserNamespace(): boolean {
  try {
    return !INITIAL_MAP.test(readText("/proc/self/uid_map"));
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return false; // a kernel without user namespaces
    throw error;
  }
}

/** The rights of this process end where the host begins: an ordinary user, or root of a user namespace. */
export function isRootless(): boolean {
  return effectiveUser() !== 0 || inUserNamespace();
}

export function effectiveUser(): number {
  return process.geteuid?.() ?? 0;
}
