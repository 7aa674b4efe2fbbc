import { errnoHint } from "../../../base/errno-hints";
import { during, HakoError } from "../../../base/errors";
import { AT, MNT, O } from "../../../linux/call/constants";
import { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { syscall, syscallOn } from "../../../linux/call/syscall";
import { perform } from "../../../linux/call/walk";
import { hasErrno, realPath } from "../../../linux/file/file";
import { mkdirAllInRoot, openAt } from "../../../linux/file/path";
import { newFilesystem } from "../../../linux/mount/filesystem";
import {
  ATTR,
  attachTree,
  cloneTree,
  detach,
  PROPAGATION,
  setMountAttributes,
} from "../../../linux/mount/mount-calls";
import { readMountinfo } from "../../../linux/mount/mountinfo";
import type { Config } from "../../../oci/config";
import { ROOT_PROPAGATIONS, type RootPropagation } from "../../../oci/root-propagation";
import { CWD } from "../program/identity";
import { privateProc, writeSysctls } from "../program/sysctl";
import { bindConsole, setUpDevices } from "./devices";
import { maskPaths, readonlyPaths } from "./masks";
import { mountAll } from "./mounts";
import type { RootfsContext, RootfsWork } from "./rootfs-work";

/** Loaded on first use. */
const rare = {
  get heldPlaces() {
    return require("./held-places") as typeof import("./held-places");
  },
  /** For processes in user namespaces. */
  get masksAtOnce() {
    return require("./masks-at-once") as typeof import("./masks-at-once");
  },
};

function rootPropagation({ linux }: Config): RootPropagation {
  return ROOT_PROPAGATIONS[linux?.rootfsPropagation ?? ""];
}

/** The mount that holds a directory, made private: neither pivot_root nor the host may see what we mount in it. */
function makeParentPrivate(directory: string): void {
  for (let path = directory; ; path = path.slice(0, path.lastIndexOf("/")) || "/") {
    try {
      setMountAttributes(path, { propagation: "private" });
      return;
    } catch (error) {
      // not the root of a mount: it is further up
      if (!hasErrno(error, "EINVAL") || path === "/") throw error;
    }
  }
}

/** The rootfs as a mount of its own, at its own place; the result is its root. */
function bindRoot(context: RootfsContext): Fd {
  if (context.mounted !== undefined) return context.mounted;
  if (!context.mountNamespace) return bindOnHost(context);
  const { propagation, recursive } = rootPropagation(context.config);
  // An unbindable rootfs could not be bound: that comes when it is entered
  const now = propagation === "unbindable" ? "private" : propagation;
  // what is below "/" and not spoken of would stay shared with the host, and so would a bind mount of it: what the container
  // mounts there would be the host's
  if (!recursive && now !== "shared") setMountAttributes("/", { propagation: "slave", recursive: true });
  setMountAttributes("/", { propagation: now, recursive });
  const path = realPath(context.rootfs);
  const events = propagation === "shared";
  if (events) makeParentPrivate(path);
  const root = cloneTree(path, true);
  if (events) setMountAttributes(root, { propagation: "private" });
  else if (!recursive) setMountAttributes(root, { propagation: now });
  attachTree(root, path);
  return root;
}

/** The rootfs on itself, in the namespace that we were called in; nothing that is mounted in it is seen elsewhere. */
function bindOnHost(context: RootfsContext): Fd {
  const path = realPath(context.rootfs);
  const root = cloneTree(path, true);
  setMountAttributes(root, { propagation: "private", recursive: true });
  attachTree(root, path);
  return root;
}

/** Mounts, devices and links: all that has to be done while the host's file system is still there. */
export function prepareRootfs(context: RootfsContext): PreparedRootfs {
  const { config } = context;
  const umask = syscall("umask", 0);
  const root = during(`root file system ${context.rootfs}`, () => bindRoot(context));
  const work: RootfsWork = { context, root, readonlyLater: [] };
  mountAll(work);
  setUpDevices(work);
  const sysctls = config.linux?.sysctl ?? {};
  const proc = Object.keys(sysctls).length === 0 ? undefined : privateProc();
  syscall("umask", umask);
  return new PreparedRootfs(work, proc);
}

/** A root file system that is ready to be entered; its methods are called in their order here. */
export class PreparedRootfs {
  readonly #work: RootfsWork;
  readonly #proc: Fd | undefined;

  constructor(work: RootfsWork, proc: Fd | undefined) {
    this.#work = work;
    this.#proc = proc;
  }

  /** Makes it the root directory and lets go of the host's file system. */
  enter(noPivot: boolean): void {
    const { context } = this.#work;
    during(`enter the root file system ${context.rootfs}`, () => {
      if (!context.mountNamespace) changeRoot(this.#work.root);
      else if (noPivot) moveRoot(this.#work);
      else pivotRoot(this.#work.root);
      this.#work.root = openAt(undefined, "/", O.PATH | O.DIRECTORY);
    });
    if (!context.mountNamespace) return;
    const { propagation, recursive } = rootPropagation(context.config);
    // private and slave were set before; the others concern only what is now the root
    if (propagation === "shared" || propagation === "unbindable") {
      setMountAttributes("/", { propagation, recursive });
    }
  }

  /** Mounts a terminal on /dev/console; after `enter`. */
  bindConsole(slave: Fd): void {
    bindConsole(this.#work, slave);
  }

  /** Everything that makes it narrower: read-only, kernel parameters, paths out of sight. */
  finish(): void {
    const { context, root, readonlyLater } = this.#work;
    const { config } = context;
    const cwd = config.process?.cwd;
    if (cwd !== undefined) {
      during(
        CWD,
        () => mkdirAllInRoot(root, cwd).close(),
        ({ errno }) => ({ path: cwd, hint: errnoHint("make the working directory", errno) }),
      );
    }
    for (const mount of readonlyLater.splice(0)) {
      setMountAttributes(mount, { set: ATTR.RDONLY });
      mount.close();
    }
    if (config.root?.readonly === true) {
      during("make the root file system read-only", () => setMountAttributes("/", { set: ATTR.RDONLY }));
    }
    writeSysctls(root, config.linux?.sysctl ?? {}, this.#proc);
    this.#proc?.close();
    if (context.held !== undefined && context.held.length > 0) rare.heldPlaces.holdPlaces(root, context.held);
    const isDone = context.sharesDevices ? rare.masksAtOnce.narrowAtOnce(root, config) : () => false;
    readonlyPaths(root, config.linux?.readonlyPaths ?? [], isDone);
    maskPaths(root, config.linux?.maskedPaths ?? [], isDone);
    root.close();
  }
}

/** pivot_root(".", "."), which uses the descriptor up: the old root is then mounted over the new one, and is the working directory. */
export function pivotRoot(root: Fd): void {
  using old = openAt(undefined, "/", O.PATH | O.DIRECTORY);
  try {
    perform([changeStep(root), { what: "pivot_root", call: "pivot_root", args: [".", "."] }]);
  } catch (error) {
    if (!hasErrno(error, "EINVAL")) throw error;
    const hint = "a host that runs from its initramfs needs --no-pivot";
    throw new HakoError({ code: "system", message: "pivot_root", hint, cause: error });
  }
  root.close();
  perform([
    changeStep(old),
    // Not private: a process of the host may just be unmounting what we would keep busy
    slaveStep(old),
    { what: "umount2 the old root", call: "umount2", args: [".", MNT.DETACH] },
    { what: "chdir", call: "chdir", args: ["/"] },
  ]);
}

function changeStep(directory: Fd): Step {
  return { what: "fchdir", call: "fchdir", args: [directory.number] };
}

function slaveStep(mount: Fd): Step {
  const attributes = new BigUint64Array([0n, 0n, BigInt(PROPAGATION.slave), 0n]);
  return {
    what: `mount_setattr ${mount.name}`,
    call: "mount_setattr",
    args: [mount.number, "", AT.EMPTY_PATH | AT.RECURSIVE, attributes, attributes.byteLength],
  };
}

/**
 * chroot leaves the host's mounts in the namespace, and the kernel lets a container mount a full procfs or sysfs when
 * there is one already: those of the host go first.
 */
function moveRoot(work: RootfsWork): void {
  const rootfs = realPath(work.context.rootfs);
  const full = readMountinfo().filter(
    ({ root, type, mountpoint }) =>
      root === "/" &&
      (type === "proc" || type === "sysfs") &&
      mountpoint !== rootfs &&
      !mountpoint.startsWith(`${rootfs}/`),
  );
  for (const { mountpoint } of full) hideMount(mountpoint);
  attachTree(work.root, "/");
  changeRoot(work.root);
}

function changeRoot(root: Fd): void {
  syscall("fchdir", root.number);
  syscall("chroot", ".");
  syscall("chdir", "/");
  root.close();
}

function hideMount(mountpoint: string): void {
  try {
    setMountAttributes(mountpoint, { propagation: "slave", recursive: true });
  } catch (error) {
    // It was below another one that is gone
    if (hasErrno(error, "ENOENT", "EINVAL")) return;
    throw error;
  }
  try {
    detach(mountpoint);
  } catch (error) {
    if (!hasErrno(error, "EINVAL", "EPERM")) throw error;
    using cover = newFilesystem({ type: "tmpfs", source: "tmpfs" });
    using target = new Fd(syscallOn(mountpoint, "openat", AT.FDCWD, mountpoint, O.PATH | O.CLOEXEC, 0));
    attachTree(cover, target);
  }
}
