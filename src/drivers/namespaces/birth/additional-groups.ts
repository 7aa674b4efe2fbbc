import { hasErrno, readText } from "../../../linux/file/file";
import { isMapped } from "../../../linux/process/id-map";
import type { Process } from "../../../oci/config";
import { logWarning } from "../../../output/log";

/**
 * A process with those of its additional groups that it can have in the user namespace of `pid`: where setgroups(2) is denied none,
 * else those that are mapped. A group gives rights and takes none, so the others are left out, as with runc, and named.
 */
export function withMappedGroups(process: Process, pid: number): Process {
  const { additionalGids = [], gid } = process.user;
  if (additionalGids.length === 0) return process;
  const denied = deniesGroups(pid);
  const possible = denied ? [] : additionalGids.filter((group) => isMapped(pid, "gid", group));
  // the group itself it has in any case
  const lost = additionalGids.filter((group) => group !== gid && !possible.includes(group));
  if (lost.length > 0) {
    const why = denied ? "the user namespace denies setgroups" : "the user namespace has no mapping for them";
    logWarning(`config /process/user/additionalGids: left out, as ${why}: ${lost.join(", ")}`);
  }
  return { ...process, user: { ...process.user, additionalGids: possible } };
}

/** user_namespaces(7), "The /proc/pid/setgroups file". */
function deniesGroups(pid: number): boolean {
  try {
    return readText(`/proc/${pid}/setgroups`).trim() === "deny";
  } catch (error) {
    // a kernel without user namespaces
    if (hasErrno(error, "ENOENT")) return false;
    throw error;
  }
}
