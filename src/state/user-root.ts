import { HakoError } from "../base/errors";
import { ACCESS, AT } from "../linux/call/constants";
import { trySyscall } from "../linux/call/syscall";
import { callerVariable } from "../linux/file/caller-environment";
import { changeMode, hasErrno, makeNewDirectory, statusAt } from "../linux/file/file";
import type { FileStatus } from "../linux/file/stat";
import { effectiveUser, isRootless } from "../linux/process/rootless";

const STICKY = 0o1000;
const OTHERS = 0o077;

/** An ordinary user's state directory, which lives as long as the session, as with runc; or as long as the machine runs. undefined for root without a session. */
export function userRoot(): string | undefined {
  const uid = effectiveUser();
  const session = callerVariable("XDG_RUNTIME_DIR");
  if (session !== undefined && session !== "" && !isOthers(session, uid)) return `${session}/hako`;
  if (uid === 0) return undefined;
  // cron, su and CI jobs have no session, but perhaps the user has
  const usual = `/run/user/${uid}`;
  return statusOf(usual)?.uid === uid ? `${usual}/hako` : `${privateDirectory(uid)}/hako`;
}

/** Where everybody has directories of their own; the second is where the first is none, as an emptyDir of Kubernetes, which has no sticky bit. */
const SHARED = ["/tmp", "/dev/shm"] as const;

function privateDirectory(uid: number): string {
  const [usual] = SHARED;
  const own = `hako-${uid}`;
  const shared = statusOf(`${usual}/${own}`) === undefined ? SHARED.find(isShared) : usual;
  return `${shared ?? usual}/${own}`;
}

function isShared(directory: string): boolean {
  const sticky = ((statusOf(directory)?.mode ?? 0) & STICKY) !== 0;
  return sticky && trySyscall("faccessat2", AT.FDCWD, directory, ACCESS.W_OK, ACCESS.AT_EACCESS) >= 0;
}

/** As after su, which leaves another user's variables. */
function isOthers(directory: string, uid: number): boolean {
  const status = statusOf(directory);
  return status !== undefined && status.uid !== uid && uid !== 0;
}

function statusOf(path: string): ReturnType<typeof statusAt> {
  try {
    return statusAt(path);
  } catch (error) {
    if (hasErrno(error, "EACCES", "ELOOP")) return undefined;
    throw error;
  }
}

/** The default of --root. */
export function defaultRoot(): string {
  return (isRootless() ? userRoot() : undefined) ?? "/run/hako";
}

/** Where compiled filters are kept: beside the usual state directory. */
export function filterCacheDirectory(): string {
  return `${defaultRoot()}-seccomp`;
}

/** Makes the directory that a user without a session has, for itself alone. */
export function makePrivateRoot(root: string): void {
  const directory = privateDirectory(effectiveUser());
  if (root === `${directory}/hako`) makeNewDirectory(directory, 0o700);
}

/** Refuses that directory where somebody else may have made it, to have hako believe what is in it, or what it leads to. */
export function checkPrivateRoot(root: string): void {
  const uid = effectiveUser();
  const directory = privateDirectory(uid);
  if (root !== `${directory}/hako`) return;
  const status = statusAt(directory, false);
  const why = status && whyNotPrivate(status, uid);
  if (why === undefined) return;
  throw new HakoError({
    code: "state",
    message: `state directory ${root}: ${directory} ${why}`,
    hint: "have it removed, choose another --root, or set XDG_RUNTIME_DIR",
    path: directory,
  });
}

function whyNotPrivate(status: FileStatus, uid: number): string | undefined {
  if (status.uid !== uid) return `belongs to user ${status.uid}`;
  if (status.type !== "directory") return "is no directory";
  return (status.mode & OTHERS) === 0 ? undefined : "is open to others";
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
