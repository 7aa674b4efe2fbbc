import { asHakoError } from "../base/errors";
import { O } from "../linux/call/constants";
import { hasErrno, writeText } from "../linux/file/file";
import { openAt } from "../linux/file/path";
import { join } from "../linux/file/path-text";
import { attachTree, cloneTree } from "../linux/mount/mount-calls";
import { exitInfo } from "../linux/process/exit-info";
import { openProcess } from "../linux/process/process";
import { maySetUpAlone } from "../linux/process/rootless";
import type { ContainerId } from "../oci/id";
import { logDebug } from "../output/log";
import type { ContainerRecord } from "./record";
import { containerDirectory, KEPT_PROCESS } from "./root";

/**
 * Mounts a container's first process (its pidfd) on a file in the container's directory: the kernel keeps how the process ended as long as the
 * mount is there, without a process of hako's (linux/pidfd.h, PIDFD_INFO_EXIT). Where that can't be done nobody knows it later: an
 * ordinary user may not mount, and before Linux 6.15 there is nothing to keep.
 */
export function keepProcess(root: string, { id, init }: ContainerRecord): void {
  if (init === undefined || !maySetUpAlone()) return;
  const file = join(containerDirectory(root, id), KEPT_PROCESS);
  using pidfd = openProcess(init.pid, init.startTime, true);
  if (pidfd === undefined) return;
  try {
    using tree = cloneTree(pidfd, false);
    writeText(file, "", 0o600);
    attachTree(tree, file);
  } catch (error) {
    // the container is what it would be with an older kernel
    logDebug(`${id}: its exit status won't be kept: ${asHakoError(error).oneLine}`);
  }
}

/** How a container's first process ended, as wait4(2) would say it; undefined if it has not, or if nothing has kept that. */
export function keptExit(root: string, id: ContainerId): number | undefined {
  const file = join(containerDirectory(root, id), KEPT_PROCESS);
  try {
    using process = openAt(undefined, file, O.RDONLY | O.CLOEXEC);
    return exitInfo(process);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}
