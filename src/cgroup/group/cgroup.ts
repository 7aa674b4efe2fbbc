import type { Resources } from "../../oci/config";
import type { CgroupVersion } from "../hierarchy/layout";
import type { CgroupRecord } from "../hierarchy/record";
import type { SubCgroups } from "../hierarchy/sub-cgroups";
import type { OomWatch } from "../stats/oom";
import type { CgroupStats } from "../stats/stats-types";

/** The places of a container's cgroups, for mounts of type cgroup in the container; plain JSON. */
export interface CgroupMounts {
  version: CgroupVersion;
  hierarchies: {
    mountpoint: string;
    /** "memory", "cpu,cpuacct", "name=systemd"; "" is the unified hierarchy. */
    name: string;
    /** The path below the mount point. */
    path: string;
  }[];
}

/**
 * How a new process gets into a container's cgroups.
 *
 *   born    it is created in this v2 cgroup (CLONE_INTO_CGROUP)
 *   self    it writes 0 into these files of v1, before it has more threads
 *   others  hako writes its pid into cgroup.procs here
 *
 * The first two cost little. When one process moves another, the kernel waits for all processors, some 15 ms (kernel/cgroup/cgroup.c,
 * cgroup_procs_write_start).
 */
export interface CgroupEntry {
  /** A directory whose limits do not concern the process before it executes the program. */
  born: string | undefined;
  /** Files into which the process writes 0, with one thread that matters. */
  self: string[];
  /** Directories that remain: somebody who may do it writes the pid into their cgroup.procs. */
  others: string[];
}

/** A container's cgroups: one directory in each hierarchy. */
export interface Cgroup {
  version: CgroupVersion;
  /** Absolute directories by controller ("name=systemd" too); the key "" is the unified hierarchy. */
  paths: Record<string, string>;
  /** What is stored of the cgroups, with the container's state; complete after `create`. */
  record: CgroupRecord;
  /**
   * Makes the directories; what a failure leaves, `destroy` removes. Where the user may not make them the container has none, unless a
   * limit needs one.
   */
  create(): void;
  /** The first part of `create`: the unified hierarchy, in which a process can be created. */
  createUnified(): void;
  /** The second part of `create`: the v1 hierarchies. */
  createOthers(): void;
  /** Writes limits. The first time, devices too: without rules only the default devices are allowed. */
  apply(resources: Resources): void;
  /** Lets a user make cgroups below the container's, on v2. */
  giveTo(uid: number): void;
  /** Moves a process into the cgroups. */
  join(pid: number): void;
  /** How a new process gets into the container's cgroups, or into cgroups below them. */
  entry(below?: SubCgroups): CgroupEntry;
  /** The field `self` of `entry`. */
  ownLists(): string[];
  /** The cgroups that `exec --cgroup` names: "PATH" for all hierarchies, "CONTROLLER[,CONTROLLER]:PATH" for v1's. */
  subCgroups(words: readonly string[]): SubCgroups;
  /**
   * Moves a process into the directories `others` of an entry. Where one takes no processes, it goes to the cgroup of the process
   * `beside`.
   */
  joinOthers(pid: number, entry: CgroupEntry, beside?: number): void;
  /** To be called when the container's first process has joined: what was needed until then is released. */
  settle(): void;
  /** The processes in the cgroups and all below them. */
  pids(): number[];
  /** Takes processes that are to die out of frozen cgroups that are not the container's, and leaves these frozen. */
  takeBack(pids: readonly number[]): void;
  /** Kills all processes, frozen ones too, and waits until they are gone. */
  kill(): void;
  /** Sends a signal to each process, or to all but one. */
  signal(number: number, but?: number): void;
  freeze(): void;
  thaw(): void;
  frozen(): boolean;
  stats(): CgroupStats;
  /** Watches for kills for lack of memory; undefined without a memory controller. */
  watchOom(): OomWatch | undefined;
  /** Removes the cgroups that `create` made, and those that the container made below. */
  destroy(): void;
  mounts(): CgroupMounts;
}
