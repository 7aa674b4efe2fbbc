import { HakoError } from "../../base/errors";
import { systemError } from "../../linux/call/syscall";
import { readText, statusAt } from "../../linux/file/file";
import { cleanPath, dirname } from "../../linux/file/path-text";
import { type MountEntry, parseMountinfo, visibleMounts } from "../../linux/mount/mountinfo";

export type CgroupVersion = "v1" | "hybrid" | "v2";

/** One hierarchy of the host: a v1 one with its controllers, or the unified one. */
export interface Hierarchy {
  mountpoint: string;
  /** The directory of the hierarchy that is mounted there: not "/" inside a container without a cgroup namespace. */
  root: string;
  /** "memory", "cpu,cpuacct", "name=systemd"; "" is the unified one. */
  name: string;
  controllers: string[];
  unified: boolean;
  /** hako's own cgroup, below the mount point. */
  own: string;
}

export interface Layout {
  version: CgroupVersion;
  hierarchies: Hierarchy[];
}

/** Controllers of v1 hierarchies (cgroups(7)). Super options that are none of these are options of the mount. */
const V1_CONTROLLERS = new Set(
  "cpu cpuacct cpuset memory devices freezer net_cls net_prio blkio perf_event hugetlb pids rdma misc debug".split(
    " ",
  ),
);
const USUAL_PLACE = "/sys/fs/cgroup";

/** The controllers, or the name, of a v1 hierarchy, from its super options; /proc/PID/cgroup names it so too. */
function controllersOf(mount: MountEntry): string[] {
  return mount.superOptions.filter((option) => V1_CONTROLLERS.has(option) || option.startsWith("name="));
}

/** hako's own cgroups by hierarchy, from lines of /proc/PID/cgroup such as "4:memory:/a/b"; the unified one's key is "". */
function ownPaths(text: string): Map<string, string> {
  const paths = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^\d+:([^:]*):(.*)$/.exec(line);
    if (match !== null) for (const name of (match[1] ?? "").split(",")) paths.set(name, match[2] ?? "/");
  }
  return paths;
}

/** A path of the hierarchy as it is below a mount of `root`. A path outside of that is the mount's own root. */
export function belowRoot(path: string, root: string): string {
  const top = cleanPath(root);
  const own = cleanPath(path);
  if (top === "/") return own;
  return own.startsWith(`${top}/`) ? own.slice(top.length) : "/";
}

/** Finds the hierarchies in the texts of mountinfo and /proc/PID/cgroup. */
export function parseLayout(mountinfo: string, procCgroup: string): Layout {
  const own = ownPaths(procCgroup);
  const found = new Map<string, Hierarchy>();
  for (const mount of visibleMounts(parseMountinfo(mountinfo))) {
    const unified = mount.type === "cgroup2";
    if (!unified && mount.type !== "cgroup") continue;
    const controllers = unified ? [] : controllersOf(mount);
    const name = controllers.join(",");
    if (!unified && name === "") continue;
    // A hierarchy may be mounted several times, as by containers: the first mount below /sys/fs/cgroup counts, else the first.
    const before = found.get(name);
    const usual = (path: string) => path === USUAL_PLACE || path.startsWith(`${USUAL_PLACE}/`);
    if (before !== undefined && (usual(before.mountpoint) || !usual(mount.mountpoint))) continue;
    const path = own.get(controllers[0] ?? "") ?? "/";
    const { mountpoint, root } = mount;
    found.set(name, { mountpoint, root, name, controllers, unified, own: belowRoot(path, root) });
  }
  const hierarchies = Array.from(found.values());
  const unified = hierarchies.some((hierarchy) => hierarchy.unified);
  const v1 = hierarchies.some((hierarchy) => !hierarchy.unified);
  return { version: unified ? (v1 ? "hybrid" : "v2") : "v1", hierarchies };
}

/** The hierarchies of this host. */
export function readLayout(mountinfo = "/proc/self/mountinfo"): Layout {
  return parseLayout(readText(mountinfo), readText("/proc/self/cgroup"));
}

/** The directory that holds the hierarchies: the parent of the first v1 mount; on pure v2 the mount itself. */
export function cgroupRoot(mountinfo = "/proc/self/mountinfo"): string {
  const mounts = visibleMounts(parseMountinfo(readText(mountinfo)));
  const v1 = mounts.find((mount) => mount.type === "cgroup");
  const root =
    v1 === undefined ? mounts.find((mount) => mount.type === "cgroup2")?.mountpoint : dirname(v1.mountpoint);
  if (root === undefined) {
    throw new HakoError({
      code: "not-found",
      message: `no cgroup hierarchy is mounted, says ${mountinfo}`,
      hint: "mount -t cgroup2 none /sys/fs/cgroup",
    });
  }
  if (statusAt(root) === undefined) throw systemError("stat", "ENOENT", root);
  return root;
}
