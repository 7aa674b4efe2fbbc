import { errnoNumber } from "../base/errno";
import { FILES_TAG, TREES_TAG } from "../drivers/vm/channel/agent-protocol";
import { MS, O } from "../linux/call/constants";
import { syscallOn, systemError, trySyscall } from "../linux/call/syscall";
import {
  changeMode,
  changeOwner,
  exists,
  linkText,
  makeDirectories,
  makeDirectory,
  readText,
  removeDirectory,
  statusAt,
} from "../linux/file/file";
import { openAt, openInRoot } from "../linux/file/path";
import type { FileStatus } from "../linux/file/stat";
import { detachIfMounted } from "../linux/mount/mount-calls";
import { getLimit, RLIMITS, type RlimitName, setLimit } from "../linux/process/rlimit";
import type { Config, Mount } from "../oci/config";

/** Where the trees of the host are in the guest: as they are read, and as they are written. */
const TREES = "/run/hako/trees";
const FILES = "/run/hako/files";
/** How long a plugged device may take to be there. */
const PLUG_MS = 20_000;
const PAUSE_MS = 5;
const CGROUPS = "/sys/fs/cgroup";
const RLIM_INFINITY = 0xffffffffffffffffn;
const [MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC] = [1, 2, 4, 8];
/**
 * What is read stays in the guest's memory: the tree is only read, and what changes of it on the host need not be seen. One user attaches for
 * all, and the guest's kernel compares rights.
 */
const TREE_OPTIONS = "trans=virtio,version=9p2000.L,msize=512000,cache=loose,access=any";

/** Mounts what containers need in a guest, once; `reads` says whether the rootfs is only read. */
export function prepareGuest(reads: boolean): void {
  if (!exists(`${CGROUPS}/cgroup.controllers`)) {
    raiseLimits();
    mountPlain("cgroup2", CGROUPS, "");
  }
  if (!reads || exists(TREES)) return;
  // root of a user namespace comes through, and sees what the tree lets it
  makeDirectories(TREES, 0o711);
  mount(TREES_TAG, TREES, "9p", MS_RDONLY, TREE_OPTIONS);
}

/** Mounts the files that are written, whose device the guest's kernel may not have found yet. */
export function mountFiles(): void {
  makeDirectories(FILES, 0o711);
  const deadline = performance.now() + PLUG_MS;
  for (;;) {
    const result = trySyscall("mount", FILES_TAG, FILES, "virtiofs", 0, "");
    if (result === 0) return;
    // what virtiofs says of a tag that no device has
    if (-result !== errnoNumber("EINVAL") || performance.now() > deadline)
      throw systemError("mount", -result, `file system ${FILES_TAG}`);
    Bun.sleepSync(PAUSE_MS);
  }
}

/**
 * Raises the hard limits of this process and so of all that it makes: those that a kernel gives to its first process are as small as the guest,
 * and a process that has joined a container's user namespace could not have more, whatever config.json says.
 */
function raiseLimits(): void {
  const most = (name: RlimitName) =>
    name === "RLIMIT_NOFILE" ? BigInt(readText("/proc/sys/fs/nr_open").trim()) : RLIM_INFINITY;
  for (const name of Object.keys(RLIMITS) as RlimitName[])
    setLimit(0, name, { soft: getLimit(0, name).soft, hard: most(name) });
}

function mount(source: string, target: string, type: string, flags: number, options: string): void {
  syscallOn(target, "mount", source, target, type, flags, options);
}

/** Mounts a file system of the kernel's that nothing is executed from. */
export function mountPlain(type: string, target: string, options: string): void {
  mount(type, target, type, MS_NOSUID | MS_NODEV | MS_NOEXEC, options);
}

/** Unmounts a place and removes it; none is no error. */
export function unmountPlace(place: string): void {
  if (!exists(place)) return;
  detachIfMounted(place);
  removeDirectory(place);
}

function placesOf(id: string): Record<"writes" | "rootfs", string> {
  return { writes: `/run/hako/writes/${id}`, rootfs: `/run/hako/rootfs/${id}` };
}

/** Removes what `mountRootfs` has made; none is no error. */
export function unmountRootfs(id: string): void {
  const { writes, rootfs } = placesOf(id);
  unmountPlace(rootfs);
  unmountPlace(writes);
}

/**
 * Mounts the root file system of a container: the tree, which it writes to, or which is under what takes its writes. It belongs to no user namespace but the guest's
 * own: owners are in the tree as the container's user namespace maps them.
 */
export function mountRootfs(id: string, tree: string, shared: boolean): string {
  const { writes, rootfs } = placesOf(id);
  makeDirectories(rootfs, 0o711);
  if (shared) {
    mount(`${FILES}/${tree}`, rootfs, "", MS.BIND, "");
    return rootfs;
  }
  makeDirectories(writes, 0o700);
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

/** Gives back the host's trees, which a machine that is saved can't have. */
export function releaseTrees(): void {
  detachIfMounted(TREES);
  removeDirectory(TREES);
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

/** A config whose bind mounts are places of the host's tree: there their sources are mounted. `written` is where they can be written to. */
export function withTreePaths(config: Config, tree: string, written: boolean): Config {
  using root = openAt(undefined, written ? `${FILES}/${tree}` : treePath(tree), O.PATH | O.DIRECTORY);
  const mounts = config.mounts?.map((each): Mount => {
    if (each.type !== "bind") return each;
    using place = openInRoot(root, each.destination, O.PATH);
    return { ...each, source: linkText(place.path) };
  });
  return { ...config, mounts };
}
