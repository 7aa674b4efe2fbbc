import type { CgroupEntry } from "../../../cgroup";
import type { Fd } from "../../../linux/call/fd";
import type { SeccompFilter } from "../../../linux/process/filter-steps";
import type { Linux, Process } from "../../../oci/config";

/** What a process beside the first of a container is made from. */
export interface ExecMaterial {
  /** The container's first process, and a descriptor of it. */
  pid: number;
  pidfd: Fd;
  /** The root directory of its mount namespace. */
  rootfs: Fd;
  /** The id of the container. */
  id: string;
  process: Process;
  /** Where the container's files say that a user is at home. */
  homeOf(uid: number): string;
  /** What of the container's /linux concerns each of its programs. */
  linux: Pick<Linux, "personality" | "memoryPolicy" | "namespaces"> | undefined;
  /** The container's seccomp filter. */
  filter: SeccompFilter | undefined;
  noNewKeyring: boolean;
  /** The program has our groups in place of its own. */
  keepsGroups: boolean;
  /** The ABI of Landlock that keeps it in the container's root directory. */
  landlock?: number | undefined;
  /** All that it starts can be found. */
  gathers: boolean;
  preserveFds: number;
  entry: CgroupEntry;
  consoleSocket: Fd | undefined;
}
