import { during, HakoError } from "../../../base/errors";
import { O } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import { systemError } from "../../../linux/call/syscall";
import { hasErrno } from "../../../linux/file/file";
import {
  createFileInRoot,
  mkdirAt,
  mkdirMissingInRoot,
  openIfThere,
  openInRoot,
} from "../../../linux/file/path";
import { cleanPath, components, resolve } from "../../../linux/file/path-text";
import { type FileStatus, fileStatusOf, filesystemOf } from "../../../linux/file/stat";
import { FILESYSTEM_MAGIC } from "../../../linux/file/statfs";
import { workingDirectory } from "../../../linux/file/working-directory";
import { type Filesystem, fitsFsconfig, newFilesystem } from "../../../linux/mount/filesystem";
import {
  ATTR,
  attachTree,
  cloneTree,
  setMountAttributes,
  setUnlockedAttributes,
} from "../../../linux/mount/mount-calls";
import { mountCovered, remountAt } from "../../../linux/mount/mount-flags";
import type { Mount } from "../../../oci/config";
import { isBind, type MountPlan, planOf } from "../../../oci/mount-options";
import { logWarning } from "../../../output/log";
import { mountCgroup } from "./cgroup-mount";
import { copyUp } from "./copy-up";
import { specifiedFilesystem } from "./mount-filesystem";
import type { RootfsWork } from "./rootfs-work";

/** Loaded on first use. */
const rare = {
  get explainMount() {
    return require("../../../explain/mount") as typeof import("../../../explain/mount");
  },
  /** For processes in user namespaces. */
  get mountsAtOnce() {
    return require("./mounts-at-once") as typeof import("./mounts-at-once");
  },
};

/** What of a procfs may be mounted over: what lxcfs imitates (runc's list). */
const OVER_PROC: ReadonlySet<string> = new Set([
  "/proc/cpuinfo",
  "/proc/diskstats",
  "/proc/meminfo",
  "/proc/stat",
  "/proc/swaps",
  "/proc/uptime",
  "/proc/loadavg",
  "/proc/slabinfo",
  "/proc/net/dev",
  "/proc/sys/kernel/ns_last_pid",
  "/proc/sys/crypto/fips_enabled",
]);
/** What takes rights away, which is allowed in every user namespace. */
const RESTRICTIONS = ATTR.RDONLY | ATTR.NOSUID | ATTR.NODEV | ATTR.NOEXEC;

/** Mounts everything of /mounts, in its order. */
export function mountAll(work: RootfsWork): void {
  const made = work.context.sharesDevices ? rare.mountsAtOnce.mountAtOnce(work) : 0;
  (work.context.config.mounts ?? []).forEach((mount, index) => {
    if (index < made) return;
    duringMount(mount, index, work.context, () => mountOne(work, mount, index));
  });
}

/** A failure of `action` becomes the error of a mount, with what is known of its reason. */
export function duringMount<T>(
  mount: Mount,
  index: number,
  { bundle, userNamespace }: Pick<RootfsWork["context"], "bundle" | "userNamespace">,
  action: () => T,
): T {
  return during(
    `config /mounts/${index}: mount ${mount.source ?? mount.type ?? "none"} on ${mount.destination}`,
    action,
    (cause) => {
      return { hint: rare.explainMount.mountHint(mount, bundle, userNamespace, cause) };
    },
  );
}

function mountOne(work: RootfsWork, mount: Mount, index: number): void {
  const plan = planOf(mount.options ?? []);
  const path = cleanPath(mount.destination);
  const bind = isBind(mount);
  if (plan.remount) remount(work, plan, path, bind);
  else if (bind) mountBind(work, mount, plan, path, index);
  else if (mount.type === "cgroup" || mount.type === "cgroup2") {
    checkBelowProc(path, undefined);
    warnOfOptions(plan, mount.type, path);
    using target = openDirectory(work.root, path);
    checkTarget(target, path);
    mountCgroup(work, mount, plan, target);
  } else mountNew(work, mount, plan, path, index);
}

/** A container gets directories of what is mounted already, which has the host's options. */
function warnOfOptions({ data }: MountPlan, type: string, path: string): void {
  if (data.length > 0) logWarning(`${type} mount on ${path}: no effect: ${data.join(",")}`);
}

/** A bind mount: the copy gets its attributes before anybody can see it. */
function mountBind(work: RootfsWork, mount: Mount, plan: MountPlan, path: string, index: number): void {
  if (mount.source === undefined || mount.source === "") {
    throw new HakoError({ code: "config", message: "a bind mount needs a source" });
  }
  const source = resolve(work.context.bundle ?? workingDirectory(), mount.source);
  using tree = sourceTree(work, source, plan, index);
  checkBelowProc(path, tree);
  applyPlan(tree, plan, work, path === "/dev");
  const status = fileStatusOf(tree);
  const link = plan.nofollow.has("target") ? openLink(work.root, path) : undefined;
  using target =
    link ??
    (status.type === "directory" ? openDirectory(work.root, path) : createFileInRoot(work.root, path));
  checkSameKind(source, status, target, path);
  attach(work, tree, target, path);
}

/** A copy of the source's mount; from outside, where that was needed. */
function sourceTree({ context }: RootfsWork, source: string, plan: MountPlan, index: number): Fd {
  const mapped = context.mappedMounts.get(index);
  if (mapped !== undefined) return mapped;
  using opened = context.bindSources.get(index);
  return cloneTree(opened ?? source, plan.bind === "rbind", !plan.nofollow.has("source"));
}

/** A symbolic link, to mount on it and not on what it leads to; undefined if the path is none. */
function openLink(root: Fd, path: string): Fd | undefined {
  const there = openIfThere(root, path, O.PATH | O.NOFOLLOW);
  if (there === undefined || fileStatusOf(there).type === "symlink") return there;
  there.close();
  return undefined;
}

export function checkSameKind(source: string, status: FileStatus, target: Fd, path: string): void {
  const sourceIs = status.type === "directory" ? "directory" : "file";
  const targetIs = fileStatusOf(target).type === "directory" ? "directory" : "file";
  if (sourceIs === targetIs) return;
  const cause = systemError("move_mount", "ENOTDIR", path);
  throw cause.with({
    // not "is a directory": docker takes these words for EISDIR of the program, and exits with 126 instead of 125
    message: `${source}, a ${sourceIs}, can't be mounted on ${path}, a ${targetIs}`,
    cause,
  });
}

/** The directory to mount on, made if it is missing. /proc and /sys are never reached through a link. */
function openDirectory(root: Fd, path: string): Fd {
  if (path === "/proc" || path === "/sys") return openOrdinaryDirectory(root, path);
  return openIfThere(root, path, O.PATH) ?? mkdirMissingInRoot(root, path);
}

/** Opens a directory no component of whose path is a link; makes what is missing. */
export function openOrdinaryDirectory(root: Fd, path: string): Fd {
  let dir = openInRoot(root, "/", O.PATH | O.DIRECTORY);
  for (const name of components(path)) {
    using above = dir;
    try {
      dir = mkdirAt(above, name, 0o755);
    } catch (error) {
      if (!hasErrno(error, "ENOTDIR", "ELOOP")) throw error;
      throw new HakoError({ code: "system", message: `${path} must be an ordinary directory`, cause: error });
    }
  }
  return dir;
}

/**
 * Nothing but a procfs on /proc, and below it only what lxcfs imitates: programs, and we, believe what is written there.
 * `tree` is the copy for a bind mount.
 */
export function checkBelowProc(path: string, tree: Fd | undefined, type?: string): void {
  if (path === "/proc") {
    if (type === "proc" || (tree !== undefined && filesystemOf(tree) === FILESYSTEM_MAGIC.proc)) return;
    throw new HakoError({ code: "config", message: "only a proc file system can be mounted on /proc" });
  }
  if (!path.startsWith("/proc/") || OVER_PROC.has(path)) return;
  throw new HakoError({ code: "config", message: `${path} cannot be mounted on: it is inside /proc` });
}

/** Puts a tree onto its target, unless the target turned out to be inside procfs by way of a link. */
function attach(work: RootfsWork, tree: Fd, target: Fd, path: string): void {
  checkTarget(target, path);
  attachTree(tree, target);
  if (path !== "/") return;
  work.root.close();
  work.root = openInRoot(tree, "/", O.PATH | O.DIRECTORY);
}

function checkTarget(target: Fd, path: string): void {
  if (filesystemOf(target) !== FILESYSTEM_MAGIC.proc || path === "/proc" || OVER_PROC.has(path)) return;
  throw new HakoError({
    code: "config",
    message: `${path} cannot be mounted on: it is inside a proc file system`,
  });
}

/** Attributes and propagation; read-only only later where more will be made inside. */
function applyPlan(tree: Fd, plan: MountPlan, work: RootfsWork, later: boolean): void {
  const delay = later && (plan.own.set & ATTR.RDONLY) !== 0;
  const set = delay ? plan.own.set & ~ATTR.RDONLY : plan.own.set;
  setUnlockedAttributes(tree, { set, clear: plan.own.clear });
  setMountAttributes(tree, { ...plan.recursive, recursive: true });
  for (const each of plan.propagation) setMountAttributes(tree, each);
  if (delay) work.readonlyLater.push(openInRoot(tree, "/", O.PATH));
}

/** A mount that is there gets other attributes, and its file system other options unless it is `bind`. */
function remount(work: RootfsWork, plan: MountPlan, path: string, bind: boolean): void {
  using target = openInRoot(work.root, path, O.PATH);
  const { own, superblock, data } = plan;
  remountAt(target, { attributes: own, options: [...superblock, ...data], mountOnly: bind });
  applyPlan(target, { ...plan, own: { set: 0, clear: 0 } }, work, false);
}

/** A new mount of a file system; one that was made outside, where that was needed. */
function mountNew(work: RootfsWork, mount: Mount, plan: MountPlan, path: string, index: number): void {
  const type = mount.type ?? "none";
  checkBelowProc(path, undefined, type);
  const ordinary = type === "proc" || type === "sysfs";
  const covered = ordinary ? undefined : openIfThere(work.root, path, O.PATH);
  using target =
    covered ?? (ordinary ? openOrdinaryDirectory(work.root, path) : mkdirMissingInRoot(work.root, path));
  const specified = specifiedFilesystem(work.context.config, mount, plan);
  const filesystem: Filesystem = {
    ...specified,
    options: [...specified.options, ...(type === "tmpfs" ? modeOf(covered, plan) : [])],
    ...(type === "proc" ? procfsOf(work, index) : {}),
  };
  using tree = work.context.mappedMounts.get(index) ?? create(work, filesystem, plan);
  // what was begun in a pid namespace where others are may be anything
  if (filesystem.context !== undefined && filesystemOf(tree) !== FILESYSTEM_MAGIC.proc) throw noProcfs();
  if (plan.copyUp && type === "tmpfs") copyUp(target, tree);
  applyPlan(tree, plan, work, type === "tmpfs" || path === "/dev");
  attach(work, tree, target, path);
}

/** How a procfs shows the pid namespace that the container will be in. */
function procfsOf({ context }: RootfsWork, index: number): Pick<Filesystem, "pidNamespace" | "context"> {
  const begun = context.begunProcfs.get(index);
  return begun === undefined ? { pidNamespace: context.pidNamespace } : { context: begun };
}

function noProcfs(): HakoError {
  return new HakoError({ code: "system", message: "what came out of the pid namespace is no procfs" });
}

/** A tmpfs without a mode of its own has that of the directory which it covers; the kernel's, if it covers none. */
function modeOf(covered: Fd | undefined, plan: MountPlan): string[] {
  if (covered === undefined || plan.data.some((option) => option.startsWith("mode="))) return [];
  return [`mode=${fileStatusOf(covered).mode.toString(8)}`];
}

/** Where the outer one of a file system is that can't be made in a user namespace, and may be taken. */
function outerPlace(
  { context }: RootfsWork,
  { type }: Filesystem,
): { path: string; set: number } | undefined {
  // it belongs to the network namespace's owner; the host's shows the same devices
  if (type === "sysfs") return { path: "/sys", set: 0 };
  if (type !== "proc" || context.lenient?.proc !== true) return undefined;
  context.weakened?.("proc");
  // files of outer processes of the same user could be written, as oom_score_adj
  return { path: "/proc", set: ATTR.RDONLY };
}

function create(work: RootfsWork, filesystem: Filesystem, plan: MountPlan): Fd {
  try {
    return fitsFsconfig(filesystem) ? newFilesystem(filesystem) : mountCovered(filesystem, work.root);
  } catch (error) {
    const outer = work.context.userNamespace && hasErrno(error, "EPERM") && outerPlace(work, filesystem);
    if (!outer) throw error;
    const tree = cloneTree(outer.path, true);
    // a new one would have nothing mounted in it, and so nothing that is writable if it is not: the host's cgroups
    setMountAttributes(tree, { set: (plan.own.set & RESTRICTIONS) | outer.set, recursive: true });
    return tree;
  }
}
