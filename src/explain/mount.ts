import type { HakoError } from "../base/errors";
import { exists, hasErrno, readText, realPath } from "../linux/file/file";
import { openToLook } from "../linux/file/path";
import { dirname, resolve } from "../linux/file/path-text";
import { mountIdOf } from "../linux/file/stat";
import { type MountEntry, readMountinfo } from "../linux/mount/mountinfo";
import type { Mount } from "../oci/config";
import { isBind } from "../oci/mount-options";

/** The mount that a path lies on, as this process sees it; undefined if nothing is there. */
function mountAt(path: string): MountEntry | undefined {
  using file = openToLook(path);
  if (file === undefined) return undefined;
  const id = mountIdOf(file);
  return readMountinfo().find((mount) => mount.id === id);
}

function kernel(): string {
  return readText("/proc/sys/kernel/osrelease").trim();
}

/** What to try about a mount that failed; undefined where the error says all that is known. */
export function mountHint(
  mount: Mount,
  bundle: string | undefined,
  userNamespace: boolean,
  cause: HakoError,
): string | undefined {
  if (hintOf(cause)) return undefined;
  if (isBind(mount)) return bindHint(resolve(bundle ?? "/", mount.source ?? ""), mount.destination, cause);
  if (hasErrno(cause, "ENODEV")) return unknownTypeHint(mount);
  if (hasErrno(cause, "EPERM") && userNamespace) return inUserNamespaceHint(mount.type, mount.destination);
  if (hasErrno(cause, "EROFS")) return pointHint(mount.destination);
  return undefined;
}

function unknownTypeHint({ type = "" }: Mount): string {
  if (["", "none"].includes(type)) return "its type is missing: the name of a file system, or bind";
  return `modprobe ${type}, or a kernel that has it; see /proc/filesystems`;
}

/** Whether the error has a hint already, from code that knew more. */
function hintOf(error: HakoError): boolean {
  return (
    error.hint !== undefined || ((error.cause as HakoError | undefined)?.hint ?? undefined) !== undefined
  );
}

function bindHint(source: string, destination: string, cause: HakoError): string | undefined {
  if (cause.syscall === "open_tree" && hasErrno(cause, "ENOENT")) {
    return `the source must exist on the host: ${existingPart(source)} is the last part of it that does`;
  }
  if (cause.syscall === "open_tree" && hasErrno(cause, "ENOTDIR")) return `${existingPart(source)} is a file`;
  if (cause.syscall === "move_mount" && hasErrno(cause, "ENOTDIR")) {
    return "a directory goes on a directory, a file on a file: a missing source that somebody made as a directory is often why";
  }
  if (cause.syscall === "mount_setattr" && hasErrno(cause, "EPERM")) return lockedHint(source);
  if (hasErrno(cause, "EROFS")) return pointHint(destination);
  return undefined;
}

/** A user namespace can't clear flags that a mount has from a more privileged one (mount_namespaces(7), "Restrictions on mount namespaces"). */
function lockedHint(source: string): string | undefined {
  const options = mountAt(source)?.options.join(",");
  if (options === undefined) return undefined;
  return `the kernel locks how ${source} is mounted (${options}): in a user namespace no recursive option clears that, and none changes access times; leave the option out`;
}

function existingPart(path: string): string {
  let part = path;
  while (part !== "/" && !exists(part)) part = dirname(part);
  return part;
}

function pointHint(destination: string): string {
  return `${destination} can't be made in a read-only file system: make it in the image, or mount what is above it first`;
}

/**
 * Why a file system can't be mounted in a user namespace. A procfs or sysfs must belong to a namespace that the user namespace owns, and
 * must show nothing that masks on the outer one hide (mount_too_revealing in fs/namespace.c).
 */
export function inUserNamespaceHint(type = "", destination: string): string {
  if (type !== "proc" && type !== "sysfs") return `in a user namespace the kernel allows no ${type} mount`;
  const place = type === "proc" ? "/proc" : "/sys";
  const covers = readMountinfo().filter(({ mountpoint }) => mountpoint.startsWith(`${place}/`));
  const [first] = covers;
  const own = type === "proc" ? "pid" : "network";
  if (first === undefined) {
    return `in a user namespace ${destination} needs {"type": "${own}"} in config /linux/namespaces, or a bind mount of ${place}`;
  }
  return `${place} here is masked in part (${first.mountpoint}${covers.length > 1 ? ` and ${covers.length - 1} more` : ""}), as in a container: run the outer one with an unmasked ${place} (--security-opt systempaths=unconfined, unmask=ALL), or bind ${place}`;
}

/** Why the owners of a mount can't be mapped: the file system and the kernel decide that, so the hint names both. */
export function idMapHint(source: string, cause: HakoError): string | undefined {
  if (!hasErrno(cause, "EINVAL", "EPERM", "EOPNOTSUPP") || cause.syscall !== "mount_setattr")
    return undefined;
  const type = mountAt(realPath(source))?.type ?? "unknown";
  return `${source} is on ${type}: mounts of it can't be mapped on Linux ${kernel()}, or this one is mapped already; use another file system, or change the files' owners`;
}
