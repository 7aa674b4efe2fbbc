import { HakoError } from "../base/errors";
import { realPath, statusAt } from "../linux/file/file";
import { components, resolve } from "../linux/file/path-text";
import type { FileStatus } from "../linux/file/stat";
import { effectiveUser } from "../linux/process/rootless";

const GROUP_WRITES = 0o020;
const OTHERS_WRITE = 0o002;
const STICKY = 0o1000;

/**
 * Refuses a path that another user could lead elsewhere, as sudo and sshd do. Each existing directory on the way must belong to this user or to
 * root, and nobody else may write to it, unless the sticky bit keeps its entries for their owners. Errors call the path `what`.
 */
export function checkWay(what: string, path: string): void {
  const names = ["", ...components(resolve(path))];
  for (let length = 1; length <= names.length; length++) {
    const way = names.slice(0, length).join("/") || "/";
    const isPath = length === names.length;
    const status = statusAt(way, false);
    if (status === undefined || (isPath && status.type !== "symlink")) return;
    checkStatus(what, path, way, status);
    if (status.type !== "symlink") continue;
    const target = statusAt(way);
    if (target === undefined) return;
    // the target of a link, and every directory on the way there
    const real = realPath(way);
    checkWay(what, real);
    if (!isPath) checkStatus(what, path, real, target);
  }
}

function checkStatus(what: string, path: string, way: string, { uid, gid, mode, type }: FileStatus): void {
  const refuse = (why: string) => {
    throw new HakoError({
      code: "state",
      message: `${what} ${path}: ${way} ${why}, and would decide what hako does`,
      hint: "use a directory on the way to which only this user or root can write",
      path,
    });
  };
  if (!isTrusted(uid)) refuse(`belongs to user ${uid}`);
  if (type === "symlink" || (mode & STICKY) !== 0) return;
  const group = (mode & GROUP_WRITES) !== 0 && gid !== 0 && gid !== process.getegid?.();
  if (group || (mode & OTHERS_WRITE) !== 0) refuse("is writable for others");
}

/** Trusted are root, this user, and the owner of "/", who can do everything anyway: in a user namespace root may appear as another user. */
function isTrusted(uid: number): boolean {
  return uid === 0 || uid === effectiveUser() || uid === statusAt("/")?.uid;
}
