import type { CgroupMounts } from "../../../cgroup";
import type { Fd } from "../../../linux/call/fd";
import { hasErrno } from "../../../linux/file/file";
import { makeLinkAt } from "../../../linux/file/file-at";
import { makeDirectoryAt } from "../../../linux/file/path";
import { basename } from "../../../linux/file/path-text";
import { newFilesystem } from "../../../linux/mount/filesystem";
import {
  ATTR,
  attachTree,
  cloneTree,
  setMountAttributes,
  setUnlockedAttributes,
} from "../../../linux/mount/mount-calls";
import { readMountinfo } from "../../../linux/mount/mountinfo";
import type { Mount } from "../../../oci/config";
import type { MountPlan } from "../../../oci/mount-options";
import { logWarning } from "../../../output/log";
import type { RootfsWork } from "./rootfs-work";

type Hierarchy = CgroupMounts["hierarchies"][number];

const HOST_CGROUPS = "/sys/fs/cgroup";
const USUAL = ATTR.NOSUID | ATTR.NODEV | ATTR.NOEXEC;

/** A mount of type cgroup: the container's own cgroups, as the host's version has them. */
export function mountCgroup(work: RootfsWork, mount: Mount, plan: MountPlan, target: Fd): void {
  const { cgroup } = work.context;
  const hierarchies = cgroup?.hierarchies ?? [];
  const own = hierarchies.find(({ name }) => name === "");
  if (hierarchies.length === 0) bindHost(plan, target);
  else if (own !== undefined && (cgroup?.version === "v2" || mount.type === "cgroup2")) {
    const { tree, hosts } = unifiedTree(work, own);
    using finished = tree;
    finishTree(finished, plan);
    // whatever its options say: there it must not write (CVE-2023-25809)
    if (hosts) setMountAttributes(finished, { set: ATTR.RDONLY });
    attachTree(finished, target);
  } else mountV1(hierarchies, plan, target);
}

/** Without a cgroup of its own a container sees the host's, and must not write there (CVE-2023-25809): told to whoever wants to. */
function bindHost(plan: MountPlan, target: Fd): void {
  if (((plan.own.set | plan.recursive.set) & ATTR.RDONLY) === 0)
    logWarning("the container has no cgroup of its own: its cgroup mount shows the host's, read-only");
  using tree = cloneTree(HOST_CGROUPS, true);
  for (const each of plan.propagation) setMountAttributes(tree, each);
  setMountAttributes(tree, { set: plan.own.set | plan.recursive.set });
  setMountAttributes(tree, { set: plan.recursive.set | USUAL | ATTR.RDONLY, recursive: true });
  attachTree(tree, target);
}

/** What a mount's options say, and of the rest what all cgroup mounts have. */
function finishTree(tree: Fd, plan: MountPlan): void {
  const { set, clear } = plan.own;
  setUnlockedAttributes(tree, { set: set | (USUAL & ~clear), clear });
  setMountAttributes(tree, { ...plan.recursive, recursive: true });
  for (const each of plan.propagation) setMountAttributes(tree, each);
}

/**
 * The container's own directory of a hierarchy. In a cgroup namespace it is the namespace's root, so this is what a
 * fresh mount would show, and it works before the process has joined the cgroup.
 */
function ownTree(own: Hierarchy): Fd {
  return cloneTree(own.path === "/" ? own.mountpoint : own.mountpoint + own.path, false);
}

/**
 * cgroup2 as a whole: in a new cgroup namespace the container's own directory; otherwise, as with runc, what its
 * namespace shows, so that the paths in /proc/PID/cgroup are found there.
 */
function unifiedTree(work: RootfsWork, own: Hierarchy): { tree: Fd; hosts: boolean } {
  if (work.context.newCgroupNamespace) return { tree: ownTree(own), hosts: false };
  try {
    const options = hostOptions(own.mountpoint);
    return { tree: newFilesystem({ type: "cgroup2", source: "cgroup", options }), hosts: false };
  } catch (error) {
    if (!hasErrno(error, "EPERM", "EBUSY", "EACCES")) throw error;
    // a user namespace may not mount it, or it is there already in another way
    return { tree: cloneTree(own.mountpoint, false), hosts: true };
  }
}

/**
 * The options of the host's mount (nsdelegate, memory_recursiveprot and the like). There is one cgroup2: whoever mounts it in
 * the host's cgroup namespace sets them anew for everybody (kernel/cgroup/cgroup.c, apply_cgroup_root_flags).
 */
function hostOptions(mountpoint: string): string[] {
  const host = readMountinfo().findLast(
    (entry) => entry.mountpoint === mountpoint && entry.type === "cgroup2",
  );
  return host?.superOptions.filter((option) => option !== "rw" && option !== "ro") ?? [];
}

/** v1: a tmpfs with a directory for each hierarchy, and links for controllers that share one. */
function mountV1(hierarchies: readonly Hierarchy[], plan: MountPlan, target: Fd): void {
  const options = ["mode=755"];
  using tmpfs = newFilesystem({ type: "tmpfs", source: "tmpfs", options, attributes: USUAL });
  for (const each of plan.propagation) setMountAttributes(tmpfs, each);
  attachTree(tmpfs, target);
  for (const hierarchy of hierarchies) mountHierarchy(hierarchy, plan, tmpfs);
  setMountAttributes(tmpfs, plan.own);
  setMountAttributes(tmpfs, plan.recursive);
}

function mountHierarchy(hierarchy: Hierarchy, plan: MountPlan, tmpfs: Fd): void {
  const directory = basename(hierarchy.mountpoint);
  using tree = hierarchyTree(hierarchy);
  if (tree === undefined) return;
  finishTree(tree, plan);
  makeDirectoryAt(tmpfs, directory, 0o755);
  attachTree(tree, tmpfs, directory);
  if (!directory.includes(",")) return;
  for (const controller of directory.split(",")) makeLinkAt(tmpfs, controller, directory);
}

function hierarchyTree(hierarchy: Hierarchy): Fd | undefined {
  try {
    return ownTree(hierarchy);
  } catch (error) {
    // The container has no cgroup in this hierarchy
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
