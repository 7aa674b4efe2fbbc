import { HakoError } from "../base/errors";
import { O } from "../linux/call/constants";
import { openAt } from "../linux/file/path";
import { dirname } from "../linux/file/path-text";
import { fileStatusOf } from "../linux/file/stat";
import { effectiveUser } from "../linux/process/rootless";
import { hasAccessList } from "./node-attributes";

const OTHERS_ENTER = 0o001;

/**
 * Refuses a directory of changes that this user reaches as a member of a further group: a container with subordinate ids is set up by a process that is
 * in none of the caller's (setgroups(2), user_namespaces(7)). An access list may let the user in; of those the kernel decides.
 */
export function checkWayWithoutGroups(path: string): void {
  const groups = process.getgroups?.() ?? [];
  for (let way = path; way !== "/"; ) {
    way = dirname(way);
    using directory = openAt(undefined, way, O.PATH | O.DIRECTORY);
    const { uid, gid, mode } = fileStatusOf(directory);
    if (uid === effectiveUser() || gid === process.getegid?.() || !groups.includes(gid)) continue;
    if ((mode & OTHERS_ENTER) !== 0 || hasAccessList(directory)) continue;
    throw new HakoError({
      code: "unsupported",
      message: `--changes ${path}: ${way} can be entered by its group ${gid} alone, in which a container with subordinate ids is not`,
      hint: "name a directory that your user reaches without that group",
      path,
    });
  }
}
