import { during, HakoError } from "../../../base/errors";
import { actHere } from "../../../linux/call/actor";
import { O } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { walkSteps } from "../../../linux/call/walk";
import { exists, hasErrno, statusAt } from "../../../linux/file/file";
import {
  makeLinkAt,
  makeNodeAt,
  type Node,
  openNode,
  removeFileAt,
  setMode,
  setOwner,
} from "../../../linux/file/file-at";
import { mkdirAllInRoot, openAt, openIfThere, openToLook } from "../../../linux/file/path";
import { basename, cleanPath, dirname } from "../../../linux/file/path-text";
import { type FileStatus, fileStatusOf, isSameFile } from "../../../linux/file/stat";
import { ATTR, attachTree, cloneTree, setMountAttributes } from "../../../linux/mount/mount-calls";
import { attachStep, attributeStep, cloneStep } from "../../../linux/mount/mount-steps";
import { closeNumberStep, freeNumbers } from "../../../linux/steps/known-numbers";
import type { Config, LinuxDevice } from "../../../oci/config";
import { DEVICE_TYPES } from "../../../oci/device-types";
import { isBind } from "../../../oci/mount-options";
import type { RootfsWork } from "./rootfs-work";

export interface Device extends Node {
  path: string;
  uid: number;
  gid: number;
  /** For errors: where it was asked for. */
  from: string;
  /** A mount of it, where it was made outside; used up by mounting. */
  tree?: Fd | undefined;
}

/** Those of the runtime-spec that every container has. */
const DEFAULTS: readonly Device[] = [
  defaultDevice("/dev/null", 1, 3),
  defaultDevice("/dev/zero", 1, 5),
  defaultDevice("/dev/full", 1, 7),
  defaultDevice("/dev/random", 1, 8),
  defaultDevice("/dev/urandom", 1, 9),
  defaultDevice("/dev/tty", 5, 0),
];

function defaultDevice(path: string, major: number, minor: number): Device {
  return { path, major, minor, type: "character", mode: 0o666, uid: 0, gid: 0, from: "default device" };
}

const LINKS: readonly (readonly [name: string, target: string])[] = [
  ["fd", "/proc/self/fd"],
  ["stdin", "/proc/self/fd/0"],
  ["stdout", "/proc/self/fd/1"],
  ["stderr", "/proc/self/fd/2"],
];

/** Whether /dev is ours to fill: one that is bound from the host is left as it is, and the kernel's, of which there is one. */
export function ownsDev(config: Config): boolean {
  return !(config.mounts ?? []).some(
    (mount) => cleanPath(mount.destination) === "/dev" && (isBind(mount) || mount.type === "devtmpfs"),
  );
}

/** Whether /dev is a new file system, of this container's. */
function hasNewDev(config: Config): boolean {
  return (
    (config.mounts ?? []).findLast(({ destination }) => cleanPath(destination) === "/dev")?.type === "tmpfs"
  );
}

/** Whether the container's /dev is the host's, as where its root file system is the host's or has it mounted. */
function hasHostsDev({ root }: RootfsWork): boolean {
  using own = openIfThere(root, "/dev", O.PATH);
  using hosts = openToLook("/dev");
  return own !== undefined && hosts !== undefined && isSameFile(own, hosts);
}

/** Device nodes and links of /dev. */
export function setUpDevices(work: RootfsWork): void {
  const { config } = work.context;
  // its nodes' modes and its ptmx are the host's
  if (!ownsDev(config) || hasHostsDev(work)) return;
  const asked = (config.linux?.devices ?? [])
    .map(deviceOf)
    .map((device) => ({ ...device, tree: work.context.madeDevices.get(device.index) }));
  const paths = new Set(asked.map(({ path }) => path));
  using directory = new Directory(work.root);
  const usual = DEFAULTS.filter(({ path }) => !paths.has(path));
  const isNew = hasNewDev(config);
  const bound = work.context.sharesDevices ? bindAtOnce(directory.at("/dev"), usual) : 0;
  for (const device of [...usual.slice(bound), ...asked]) {
    // That one is the link to the container's own devpts
    if (device.path === "/dev/ptmx") continue;
    during(`${device.from}: make device ${device.path}`, () => {
      const parent = dirname(device.path);
      makeDevice(work, directory.at(parent), device, isNew && parent === "/dev");
    });
  }
  during("set up /dev", () => makeLinks(work, isNew));
}

export function deviceOf(device: LinuxDevice, index: number): Device & { index: number } {
  const from = `config /linux/devices/${index}`;
  const type = DEVICE_TYPES[device.type];
  const { fileMode = 0o666, uid = 0, gid = 0, major = 0, minor = 0 } = device;
  return { path: cleanPath(device.path), type, major, minor, mode: fileMode & 0o7777, uid, gid, from, index };
}

/** The directory of the last device, which is that of most: made where it is missing. */
class Directory implements Disposable {
  #opened: { path: string; fd: Fd } | undefined;

  constructor(private readonly root: Fd) {}

  at(path: string): Fd {
    if (this.#opened?.path === path) return this.#opened.fd;
    const fd = mkdirAllInRoot(this.root, path);
    this[Symbol.dispose]();
    this.#opened = { path, fd };
    return fd;
  }

  [Symbol.dispose](): void {
    this.#opened?.fd.close();
  }
}

/** `isAlone`: nobody else can get at the directory. */
function makeDevice(work: RootfsWork, dir: Fd, device: Device, isAlone: boolean): void {
  const name = basename(device.path);
  // but for named pipes, which anybody may make
  const outside = device.type !== "fifo" && (device.tree !== undefined || work.context.userNamespace);
  const made = outside ? "forbidden" : tryMakeNode(dir, name, device);
  if (made === "forbidden") {
    bindDevice(dir, name, device);
    return;
  }
  if (made === "new" && isAlone && device.uid === 0 && device.gid === 0) return;
  try {
    using node = openNode(dir, name);
    const { uid, gid, mode } = checkDevice(node, device);
    if (uid !== device.uid || gid !== device.gid) setOwner(node, device.uid, device.gid);
    // a new owner takes setuid bits away
    if (mode !== device.mode || uid !== device.uid || gid !== device.gid) setMode(node, device.mode);
  } catch (error) {
    // the root file system may be an image that lasts
    if (made === "new") removeFileAt(dir, name);
    throw error;
  }
}

/** Whether a node was made, or the name was taken, or we may make none here. */
function tryMakeNode(dir: Fd, name: string, node: Node): "new" | "taken" | "forbidden" {
  try {
    return makeNodeAt(dir, name, node) ? "new" : "taken";
  } catch (error) {
    if (hasErrno(error, "EPERM")) return "forbidden";
    throw error;
  }
}

/** What is there must be the device that was asked for, not what an image put in its place. */
function checkDevice(node: Fd, device: Device): FileStatus {
  const status = fileStatusOf(node);
  const { type, major, minor } = status;
  const same =
    type === device.type && (type === "fifo" || (major === device.major && minor === device.minor));
  if (same) return status;
  throw new HakoError({
    code: "system",
    errno: "EEXIST",
    message: `${device.path} exists and is something else`,
  });
}

/** Where device nodes can't be made, one that was made outside is mounted, or else the host's. */
function bindDevice(dir: Fd, name: string, device: Device): void {
  using tree = device.tree ?? cloneTree(device.path, false);
  checkDevice(tree, device);
  setMountAttributes(tree, { set: ATTR.NOSUID | ATTR.NOEXEC });
  using target = openOrCreate(dir, name);
  attachTree(tree, target);
}

/**
 * Mounts the host's devices on new files of a directory, by one walk of a process of one thread, which sees the same /dev as this one; how many
 * of them. The first that is not as it should be ends it, and the rest is left to those who say why.
 */
function bindAtOnce(dir: Fd, devices: readonly Device[]): number {
  const good = actHere(() => devices.findIndex((device) => !isDevice(statusAt(device.path, false), device)));
  const numbers = freeNumbers(dir, 2);
  const [first = -1, second = -1] = numbers;
  const close = numbers.map(closeNumberStep);
  const steps = devices
    .slice(0, good < 0 ? devices.length : good)
    .map(({ path }) => [...bindSteps(dir, path, first, second), ...close]);
  const [made] = walkSteps([...close, ...steps.flat()]);
  const each = steps[0]?.length ?? 1;
  const bound = Math.floor((made - close.length) / each);
  if (bound < steps.length) walkSteps(close);
  return Math.max(bound, 0);
}

function bindSteps(dir: Fd, path: string, first: number, second: number): Step[] {
  const flags = O.CREAT | O.EXCL | O.NOFOLLOW | O.NOCTTY | O.CLOEXEC;
  return [
    cloneStep(undefined, path, first),
    attributeStep(first, ATTR.NOSUID | ATTR.NOEXEC),
    {
      what: `create ${path}`,
      call: "openat",
      args: [dir.number, basename(path), flags, 0o644],
      success: { exactly: second },
    },
    attachStep(first, second, ""),
  ];
}

function isDevice(status: FileStatus | undefined, { type, major, minor }: Device): boolean {
  return status?.type === type && status.major === major && status.minor === minor;
}

/** An existing file without following it, or a new empty one. */
function openOrCreate(dir: Fd, name: string): Fd {
  try {
    return openAt(dir, name, O.CREAT | O.EXCL | O.NOFOLLOW | O.NOCTTY, 0o644);
  } catch (error) {
    if (!hasErrno(error, "EEXIST")) throw error;
  }
  const fd = openNode(dir, name);
  const { type } = fileStatusOf(fd);
  if (type !== "symlink" && type !== "directory") return fd;
  fd.close();
  throw new HakoError({ code: "system", errno: "EEXIST", message: `/dev/${name} is a ${type}` });
}

function makeLinks(work: RootfsWork, isNew: boolean): void {
  using dev = mkdirAllInRoot(work.root, "/dev");
  const core = exists("/proc/kcore") ? [["core", "/proc/kcore"] as const] : [];
  const links = [...LINKS, ...core, ["ptmx", "pts/ptmx"] as const];
  const steps = links.map(
    ([name, target]): Step => ({ what: `link ${name}`, call: "symlinkat", args: [target, dev.number, name] }),
  );
  // in a new file system nothing is in the way
  if (isNew && walkSteps(steps)[0] === steps.length) return;
  removeFileAt(dev, "ptmx");
  for (const [name, target] of links) makeLinkAt(dev, name, target);
}

/** Mounts a terminal on /dev/console; its descriptor, not a path, says which (CVE-2025-52565). */
export function bindConsole(work: RootfsWork, slave: Fd): void {
  during("mount the terminal on /dev/console", () => {
    using dev = mkdirAllInRoot(work.root, "/dev");
    using target = openOrCreate(dev, "console");
    using tree = cloneTree(slave, false);
    attachTree(tree, target);
  });
}
