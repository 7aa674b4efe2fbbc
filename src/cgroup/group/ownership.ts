import { changeOwner, exists, hasErrno, readText } from "../../linux/file/file";
import { mappedId } from "../../linux/process/id-map";
import type { Config } from "../../oci/config";
import { directoryOf } from "../hierarchy/node";
import type { CgroupNode } from "../hierarchy/record";

/** The kernel's list of files that may be given away with a cgroup. Before Linux 4.15 there is none. */
const DELEGATED = "/sys/kernel/cgroup/delegate";
const USUALLY = ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"];

/**
 * The user to whom a container's cgroup is given (runtime-spec config-linux.md "Cgroup ownership"), as an id of the host: the user of
 * its program, if the container has a cgroup namespace of its own and can write to its cgroups. undefined if they stay ours.
 */
export function cgroupOwner({ linux, mounts, process }: Config): number | undefined {
  const isNew = (type: string) =>
    linux?.namespaces?.some((each) => each.type === type && !each.path) === true;
  const writable = mounts?.some(
    ({ destination, source, options = [] }) =>
      source === "cgroup" &&
      destination === "/sys/fs/cgroup" &&
      !options.includes("ro") &&
      !options.includes("rro"),
  );
  if (!isNew("cgroup") || writable !== true || process === undefined) return undefined;
  const { uid } = process.user;
  if (!isNew("user")) return uid;
  return mappedId(linux?.uidMappings ?? [], uid);
}

/** Gives a user a cgroup, with the files that are safe to give; never those that limit it. */
export function giveCgroup(node: CgroupNode, uid: number): void {
  const dir = directoryOf(node);
  const files = exists(DELEGATED) ? readText(DELEGATED).split("\n").filter(Boolean) : USUALLY;
  changeOwner(dir, uid, -1);
  for (const file of files) {
    try {
      changeOwner(`${dir}/${file}`, uid, -1);
    } catch (error) {
      // a controller that isn't enabled here has no file
      if (!hasErrno(error, "ENOENT")) throw error;
    }
  }
}
