import { TREE_TAG } from "../drivers/vm/channel/agent-protocol";
import { O } from "../linux/call/constants";
import { syscallOn } from "../linux/call/syscall";
import { exists, linkText, makeDirectories } from "../linux/file/file";
import { openAt, openInRoot } from "../linux/file/path";
import type { Config, Mount } from "../oci/config";

/** Where the host's tree is in the guest. */
export const TREE = "/run/hako/tree";
const CGROUPS = "/sys/fs/cgroup";
const [MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC] = [1, 2, 4, 8];
/**
 * What is read stays in the guest's memory: the tree is only read, and what changes of it on the host need not be seen. One user attaches for
 * all, and the guest's kernel compares rights.
 */
const TREE_OPTIONS = "trans=virtio,version=9p2000.L,msize=512000,cache=loose,access=any";

/** Mounts what containers need in a guest, once. */
export function prepareGuest(): void {
  if (exists(TREE)) return;
  makeDirectories(TREE, 0o700);
  mount("cgroup2", CGROUPS, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
  mount(TREE_TAG, TREE, "9p", MS_RDONLY, TREE_OPTIONS);
}

function mount(source: string, target: string, type: string, flags: number, options: string): void {
  syscallOn(target, "mount", source, target, type, flags, options);
}

/** A config whose bind mounts are places of the host's tree: there their sources are mounted. */
export function withTreePaths(config: Config): Config {
  using root = openAt(undefined, TREE, O.PATH | O.DIRECTORY);
  const mounts = config.mounts?.map((each): Mount => {
    if (each.type !== "bind") return each;
    using place = openInRoot(root, each.destination, O.PATH);
    return { ...each, source: linkText(place.path) };
  });
  return { ...config, mounts };
}
