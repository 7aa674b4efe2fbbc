import { maySetGroups } from "./capabilities";
import { errnoName } from "./errno";
import { address, syscallOn, systemError, trySyscall } from "./syscall";

const PR_SET_KEEPCAPS = 8;
const PR_SET_NO_NEW_PRIVS = 38;
const KEYCTL_JOIN_SESSION_KEYRING = 1;
const KEYCTL_SETPERM = 5;
const KEYCTL_DESCRIBE = 6;
/** Possessor and user may search: what runc gives a container's session keyring. */
const KEY_USR_ALL = 0x3f0000;

/**
 * Sets the identity of this thread: real, effective and saved ids and the additional groups. Capabilities stay permitted;
 * which of them become effective is set after.
 */
export function setIdentity(uid: number, gid: number, groups: readonly number[]): void {
  syscallOn("PR_SET_KEEPCAPS", "prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0);
  setGroups(groups);
  const changes = [
    ["setresgid", gid],
    ["setresuid", uid],
  ] as const;
  for (const [call, id] of changes) {
    const result = trySyscall(call, id, id, id);
    if (result < 0) {
      const hint = errnoName(-result) === "EINVAL" ? `${id} has no mapping in the user namespace` : undefined;
      throw systemError(`${call} ${id}`, -result, undefined, hint);
    }
  }
  syscallOn("PR_SET_KEEPCAPS", "prctl", PR_SET_KEEPCAPS, 0, 0, 0, 0);
}

/**
 * A user namespace may forbid setgroups(2), so that nobody leaves a group which a file's mode shuts out; then no groups are
 * what cannot be had. The kernel alone says so: in a container /proc/self/setgroups may be the image's.
 */
function setGroups(groups: readonly number[]): void {
  const list = new Uint32Array(groups);
  const result = trySyscall("setgroups", list.length, list.length === 0 ? 0 : address(list));
  // the list is used once more so that it lives during the call
  if (result >= 0) return;
  const error = systemError(`setgroups [${list.join(" ")}]`, -result);
  if (list.length > 0 || error.errno !== "EPERM" || !maySetGroups()) throw error;
}

/** Nothing that this process executes from now on can gain privileges. */
export function setNoNewPrivileges(): void {
  syscallOn("PR_SET_NO_NEW_PRIVS", "prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/** A session keyring of its own, so that the container doesn't see the caller's keys; nothing where there are no keyrings. */
export function joinSessionKeyring(name: string): void {
  const key = trySyscall("keyctl", KEYCTL_JOIN_SESSION_KEYRING, name);
  if (key < 0) {
    if (errnoName(-key) === "ENOSYS") return;
    throw systemError("keyctl (session keyring)", -key, undefined, "--no-new-keyring goes without");
  }
  const description = Buffer.alloc(1024);
  const length = trySyscall("keyctl", KEYCTL_DESCRIBE, key, description, description.length);
  if (length < 0) return; // an LSM's affair; the keyring itself is there
  // "type;uid;gid;perm;description"
  const permissions = Number.parseInt(description.toString("latin1").split(";")[3] ?? "", 16);
  if (Number.isNaN(permissions)) return;
  trySyscall("keyctl", KEYCTL_SETPERM, key, (permissions | KEY_USR_ALL) >>> 0);
}
