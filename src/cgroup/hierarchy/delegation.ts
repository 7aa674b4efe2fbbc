import { ACCESS } from "../../linux/call/constants";
import { checkAccess, hasErrno } from "../../linux/file/file";
import { tryReadValue } from "./files";
import { readLayout } from "./layout";
import type { CgroupNode } from "./record";

/** How systemd gives an ordinary user cgroups with controllers (systemd.resource-control(5), "Delegate="). */
export const DELEGATION =
  'have systemd delegate them: "[Service]" and "Delegate=cpu cpuset io memory pids" in /etc/systemd/system/user@.service.d/delegate.conf, then systemctl daemon-reload and a new login';

/** The hint for a limit whose cgroup could not be made. */
export function skippedHint({ skipped, unified }: CgroupNode): string {
  if (skipped?.startsWith("--cgroup-manager")) return "leave it out";
  const own = unified ? ownDirectory() : undefined;
  if (own !== undefined && mayWrite(own)) {
    return `${own}, in which hako was called, is this user's, but the container's cgroup comes beside it: ${moveBelow(own)}`;
  }
  return `limits need a cgroup that this user may write: run as root, or ${DELEGATION}`;
}

/** The shell commands that free a v2 cgroup of processes, so that its children can have controllers. */
export function moveBelow(dir: string): string {
  return `move its processes to one below: mkdir ${dir}/main; for pid in $(cat ${dir}/cgroup.procs); do echo $pid > ${dir}/main/cgroup.procs; done 2>/dev/null`;
}

function ownDirectory(): string | undefined {
  const own = readLayout().hierarchies.find(({ unified }) => unified);
  return own === undefined ? undefined : `${own.mountpoint}${own.own === "/" ? "" : own.own}`;
}

/** Whether this user may make cgroups in one. */
export function mayWrite(dir: string): boolean {
  try {
    checkAccess(dir, ACCESS.W_OK);
    return true;
  } catch (error) {
    if (hasErrno(error, "EACCES", "EROFS", "EPERM", "ENOENT")) return false;
    throw error;
  }
}

/** The first of these directories that is threaded, so that cgroups below it take no processes; undefined if none is. */
export function threadedAbove(directories: readonly string[]): string | undefined {
  return directories.find((dir) =>
    ["domain threaded", "threaded"].includes(tryReadValue(`${dir}/cgroup.type`) ?? ""),
  );
}
