import { actHere } from "../call/actor";
import { hasErrno, readText } from "../file/file";

/** The map of the initial user namespace: every id is itself (user_namespaces(7)). */
const INITIAL_MAP = /^\s*0\s+0\s+4294967295\s*$/;

let inner: boolean | undefined;

/** Whether this process is in a user namespace that somebody made: its root is not the host's. It never joins another one. */
export function inUserNamespace(): boolean {
  inner ??= actHere(() => !INITIAL_MAP.test(ownMap()));
  return inner;
}

function ownMap(): string {
  try {
    return readText("/proc/self/uid_map");
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return "0 0 4294967295"; // a kernel without user namespaces
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
