import { TREES_TAG } from "../drivers/vm/channel/agent-protocol";
import { O } from "../linux/call/constants";
import { syscallOn } from "../linux/call/syscall";
import {
  changeMode,
  changeOwner,
  exists,
  linkText,
  makeDirectories,
  makeDirectory,
  statusAt,
} from "../linux/file/file";
import { openAt, openInRoot } from "../linux/file/path";
import type { FileStatus } from "../linux/file/stat";
import type { Config, Mount } from "../oci/config";

/** Where the trees of the host are in the guest. */
const TREES = "/run/hako/trees";
const CGROUPS = "/sys/fs/cgroup";
const [MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC] = [1, 2, 4, 8];
/**
 * What is read stays in the guest's memory: the tree is only read, and what changes of it on the host need not be seen. One user attaches for
 * all, and the guest's kernel compares rights.
 */
const TREE_OPTIONS = "trans=virtio,version=9p2000.L,msize=512000,cache=loose,access=any";

/** Mounts what containers need in a guest, once. */
export function prepareGuest(): void {
  if (exists(TREES)) return;
  // root of a user namespace comes through, and sees what the tree lets it
  makeDirectories(TREES, 0o711);
  mount("cgroup2", CGROUPS, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
  mount(TREES_TAG, TREES, "9p", MS_RDONLY, TREE_OPTIONS);
}

function mount(source: string, target: string, type: string, flags: number, options: string): void {
  syscallOn(target, "mount", source, target, type, flags, options);
}

/**
 * Mounts the root file system of a container: the tree, under what takes the container's writes. It belongs to no user namespace but the guest's
 * own: owners are in the tree as the container's user namespace maps them.
 */
export function mountRootfs(id: string, tree: string): string {
  const [writes, rootfs] = [`/run/hako/writes/${id}`, `/run/hako/rootfs/${id}`];
  makeDirectories(writes, 0o700);
  makeDirectories(rootfs, 0o711);
  mount("tmpfs", writes, "tmpfs", 0, "mode=700");
  const [upper, work] = [`${writes}/upper`, `${writes}/work`];
  makeDirectory(upper);
  makeDirectory(work);
  // the root directory is the upper one's
  const { uid, gid, mode } = statusOfTree(tree);
  changeOwner(upper, uid, gid);
  changeMode(upper, mode);
  mount("overlay", rootfs, "overlay", 0, `lowerdir=${treePath(tree)},upperdir=${upper},workdir=${work}`);
  return rootfs;
}

function treePath(tree: string): string {
  return `${TREES}/${tree}`;
}

function statusOfTree(tree: string): FileStatus {
  const path = treePath(tree);
  const status = statusAt(path);
  if (status === undefined) throw new Error(`${path} is not there`);
  return status;
}

/** A config whose bind mounts are places of the host's tree: there their sources are mounted. */
export function withTreePaths(config: Config, tree: string): Config {
  using root = openAt(undefined, treePath(tree), O.PATH | O.DIRECTORY);
  const mounts = config.mounts?.map((each): Mount => {
    if (each.type !== "bind") return each;
    using place = openInRoot(root, each.destination, O.PATH);
    return { ...each, source: linkText(place.path) };
  });
  return { ...config, mounts };
}
