import { errnoName, errnoText } from "../../base/errno";
import { HakoError } from "../../base/errors";
import { AT, O } from "../call/constants";
import { endProcess } from "../call/end-process";
import { type Descriptor, descriptorNumber, Fd } from "../call/fd";
import { syscallOn, systemError, tryLibc, trySyscall } from "../call/syscall";
import { hasErrno, linkText } from "../file/file";
import { filesystemOf } from "../file/stat";
import { FILESYSTEM_MAGIC } from "../file/statfs";

/** A named pipe in the namespace's place must not hang us. */
const OPEN_FLAGS = O.RDONLY | O.NONBLOCK | O.CLOEXEC;
const NS_GET_NSTYPE = 0xb703;

/** The CLONE_NEW* flags by config.json's names of the namespaces. */
export const NAMESPACE_FLAGS = {
  mount: 0x00020000,
  cgroup: 0x02000000,
  uts: 0x04000000,
  ipc: 0x08000000,
  user: 0x10000000,
  pid: 0x20000000,
  network: 0x40000000,
  time: 0x00000080,
} as const;
export type NamespaceType = keyof typeof NAMESPACE_FLAGS;

/** What procfs calls them: below /proc/PID/ns, and in /proc/sys/user/max_*_namespaces. */
export const NAMESPACE_FILES: Readonly<Record<NamespaceType, string>> = {
  mount: "mnt",
  cgroup: "cgroup",
  uts: "uts",
  ipc: "ipc",
  user: "user",
  pid: "pid",
  network: "net",
  time: "time",
};

export const NAMESPACE_TYPES = Object.keys(NAMESPACE_FLAGS) as NamespaceType[];

/**
 * Tells a process's namespace of a type from all others; undefined without such a process, or on a kernel without such namespaces. By the link's
 * text: the file behind it has no place in a file system, so AppArmor lets few programs look at it.
 */
export function namespaceName(pid: number | "self", type: NamespaceType): string | undefined {
  try {
    return linkText(`/proc/${pid}/ns/${NAMESPACE_FILES[type]}`);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** The same; undefined also of a process that this one may not look at, as another user's. */
export function visibleNamespace(pid: number, type: NamespaceType): string | undefined {
  try {
    return namespaceName(pid, type);
  } catch (error) {
    if (hasErrno(error, "ESRCH", "EACCES", "EPERM")) return undefined;
    throw error;
  }
}

/** Opens a namespace's file; anything else is refused. */
export function openNamespace(path: string, type?: NamespaceType): Fd {
  const opened = trySyscall("openat", AT.FDCWD, path, OPEN_FLAGS, 0);
  const quoted = JSON.stringify(path);
  if (opened < 0) {
    const errno = errnoName(-opened);
    throw new HakoError({
      code: "system",
      message: `failed to open ${quoted}: ${errnoText(errno)}`,
      errno,
      path,
    });
  }
  const fd = new Fd(opened, path);
  const magic = filesystemOf(fd);
  // before Linux 3.19 namespaces lived in procfs itself
  if (magic === FILESYSTEM_MAGIC.nsfs || magic === FILESYSTEM_MAGIC.proc) {
    const found = trySyscall("ioctl", fd.number, NS_GET_NSTYPE, 0);
    // procfs of old and kernels before 4.11 can't tell: setns will
    if (type === undefined || found < 0 || found === NAMESPACE_FLAGS[type]) return fd;
    fd.close();
    throw new HakoError({ code: "system", message: `${quoted} is not a ${type} namespace`, path });
  }
  fd.close();
  throw new HakoError({
    code: "system",
    message: `unknown FS magic on ${quoted}: ${magic.toString(16)}`,
    hint: "a namespace is a file like /proc/PID/ns/net or a bind mount of one",
    path,
  });
}

/** Moves the JS thread into the namespace behind `fd`, which must be of the type given. */
export function setNamespace(fd: Descriptor, type: NamespaceType, path?: string): void {
  const result = tryLibc("setns", descriptorNumber(fd), NAMESPACE_FLAGS[type]);
  if (result < 0) throw systemError(`setns (${type})`, -result, path);
}

/** Moves the JS thread into the network namespace at `path`, for good. */
export function enterNetworkNamespace(path: string): void {
  using target = openNamespace(path);
  setNamespace(target, "network", path);
}

/**
 * Runs `action` inside the network namespace at `path`; "" means the current one. Only the JS thread moves, so the
 * action must be synchronous: system calls, *Sync functions of node:fs, spawnSync. If the way back fails, the
 * process ends, for everything it did from then on would happen in the wrong network.
 */
export function withNetworkNamespace<T>(path: string, action: () => T): T {
  if (path === "") return action();
  using target = openNamespace(path);
  const own = `/proc/self/task/${process.pid}/ns/net`;
  using before = new Fd(syscallOn(own, "openat", AT.FDCWD, own, OPEN_FLAGS, 0));
  setNamespace(target, "network", path);
  let result: T;
  try {
    result = action();
  } finally {
    const back = tryLibc("setns", before.number, NAMESPACE_FLAGS.network);
    if (back < 0) endProcess(`cannot return to the own network namespace: setns: ${errnoText(-back)}`);
  }
  if (result instanceof Promise) {
    result.catch(() => undefined);
    throw new Error("withNetworkNamespace: the action must be synchronous");
  }
  return result;
}
