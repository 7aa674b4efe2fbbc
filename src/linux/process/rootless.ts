import { actHere } from "../call/actor";
import { hasErrno, readText } from "../file/file";
import { effectiveCapabilities, SYS_ADMIN } from "./capabilities";

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

let alone: boolean | undefined;

/**
 * Whether this process has the rights to make mounts and namespaces by itself. Others have them in a user namespace that they make: an
 * ordinary user, and a root without CAP_SYS_ADMIN, as in a container without privileges. It never changes.
 */
export function maySetUpAlone(): boolean {
  alone ??= actHere(() => effectiveUser() === 0 && (effectiveCapabilities() & SYS_ADMIN) !== 0n);
  return alone;
}

export function effectiveUser(): number {
  return process.geteuid?.() ?? 0;
}
