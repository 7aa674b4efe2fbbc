import type { UndoStack } from "../base/undo";
import type { CgroupRecord } from "../cgroup";
import type { Fd } from "../linux/call/fd";
import type { SeccompFilter } from "../linux/process/filter-steps";
import type { CgroupManager } from "../oci/cgroup-managers";
import type { Config, Linux, Process } from "../oci/config";
import type { ContainerId } from "../oci/id";
import type { State } from "../oci/state";
import type { ResctrlRecord } from "../resctrl/resctrl";
import type { ProcessRecord } from "../state/record";
import type { Attendance } from "./namespaces/exec/attended-exec";

/** What a driver makes a container from. */
export interface ContainerPlan {
  id: ContainerId;
  config: Config;
  /** Makes the program's seccomp filter; called when there is time to, while something else starts. */
  filter(): SeccompFilter | undefined;
  bundle: string;
  /** Where the host keeps what belongs to the container. */
  directory: string;
  rootfs: string;
  /** The host's root with a tmpfs over it, mounted on this directory, is the rootfs. */
  overlay: string | undefined;
  state: State;
  cgroupManager: CgroupManager;
  startSocket: Fd;
  consoleSocket: Fd | undefined;
  noPivot: boolean;
  noNewKeyring: boolean;
  preserveFds: number;
  openFiles: number | undefined;
}

/** What a driver makes a further process of a container from. */
export interface ExecPlan {
  id: ContainerId;
  /** The container's first process, and a descriptor of it. */
  init: ProcessRecord;
  pidfd: Fd;
  /** The root directory of its mount namespace. */
  rootfs: Fd;
  cgroup: CgroupRecord | undefined;
  /** Of `exec --cgroup`. */
  cgroups: readonly string[];
  process: Process;
  /** Where the container's files say that a user is at home. */
  homeOf(uid: number): string;
  linux: Pick<Linux, "personality" | "memoryPolicy" | "namespaces"> | undefined;
  filter: SeccompFilter | undefined;
  /** Takes the filter's listener. */
  listener: (fd: Fd) => void;
  consoleSocket: Fd | undefined;
  noNewKeyring: boolean;
  keepsGroups: boolean;
  preserveFds: number;
  openFiles: number | undefined;
}

/** What `create` does when a driver has come that far. */
export interface CreateEvents {
  /** Before cgroups are made: what may have to be removed when this process is killed. */
  cgroup(planned: CgroupRecord): void;
  process(process: ProcessRecord, cgroup: CgroupRecord): void;
  /** Before directories of resctrl are used: the list is filled later, and what is in it must be removed with the container. */
  resctrl(made: ResctrlRecord): void;
  /** The namespaces and mounts are there, the program's root is not entered yet: the time of createRuntime hooks. */
  runtimeCreated(): void;
  /** After these, when the container's process doesn't need us for a moment. */
  meanwhile(): void;
  /** All is done; after it the container waits for start. */
  created(): void;
}

/** How a sandbox isolates its containers. `create` and `exec` go through it; other commands go to processes and cgroups themselves. */
export interface SandboxDriver {
  readonly name: string;
  /** Makes a container up to "created"; what must be undone if anything fails goes to `undo`. */
  create(plan: ContainerPlan, events: CreateEvents, undo: UndoStack): void;
  /**
   * Starts a process beside the first; `ready` is called with it right before it executes its program, and says who takes this process's
   * place, if nothing is left to do in it: then this doesn't come back.
   */
  exec(
    plan: ExecPlan,
    ready: (process: ProcessRecord) => Attendance | undefined,
    undo: UndoStack,
  ): ProcessRecord;
}
