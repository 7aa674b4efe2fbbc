import type { Resources } from "../../oci/config";
import type { CgroupVersion } from "../hierarchy/layout";
import type { CgroupRecord } from "../hierarchy/record";
import type { SubCgroups } from "../hierarchy/sub-cgroups";
import type { OomWatch } from "../stats/oom";
import type { CgroupStats } from "../stats/stats-types";

/** Where the container's cgroups are, for the mounts of type cgroup inside it; plain JSON. */
export interface CgroupMounts {
  version: CgroupVersion;
  hierarchies: {
    mountpoint: string;
    /** "memory", "cpu,cpuacct", "name=systemd"; "" is the unified hierarchy. */
    name: string;
    /** Below the mount point: its directory is mountpoint + path. */
    path: string;
  }[];
}

/**
 * Ways into cgroups that cost less than `join`: moving another process makes the kernel wait for all processors, some
 * 15 ms, unless the process is born there or moves its own thread (kernel/cgroup/cgroup.c, cgroup_procs_write_start).
 */
export interface CgroupEntry {
  /** A directory whose limits don't concern the process before it is the program, for CLONE_INTO_CGROUP. */
  born: string | undefined;
  /** Files in which the process, with one thread that matters, writes 0. */
  self: string[];
  /** Directories that remain for `cgroup.procs`, written by somebody who may. */
  others: string[];
}

/** A container's cgroups: one directory in each hierarchy. */
export interface Cgroup {
  version: CgroupVersion;
  /** Absolute directories by controller ("name=systemd" too); the unified one's key is "". */
  paths: Record<string, string>;
  /** For the container's stored state; after `create`. */
  record: CgroupRecord;
  /**
   * Makes the directories; what a failure leaves, `destroy` removes. Where that is not allowed, the container goes without, unless a
   * limit needs one.
   */
  create(): void;
  /** The first part of `create`: the unified hierarchy's, which a process can be born in. */
  createUnified(): void;
  /** The other part of it. */
  createOthers(): void;
  /** Writes limits. The first time, devices too: without rules only the default devices are allowed. */
  apply(resources: Resources): void;
  /** Lets a user make cgroups below, on v2. */
  giveTo(uid: number): void;
  /** Moves a process into the cgroups. */
  join(pid: number): void;
  /** How a process that is born for this container gets in, or into cgroups below. */
  entry(below?: SubCgroups): CgroupEntry;
  /** The files of `entry` in which the process writes itself. */
  ownLists(): string[];
  /** The cgroups that `exec --cgroup` names: "PATH" for all hierarchies, "CONTROLLER[,CONTROLLER]:PATH" for v1's. */
  subCgroups(words: readonly string[]): SubCgroups;
  /** Moves a process into those that `entry` left over; where that takes none, to where the process `beside` is. */
  joinOthers(pid: number, entry: CgroupEntry, beside?: number): void;
  /** The container's first process has joined: what was needed until then goes. */
  settle(): void;
  /** The processes in the cgroups and all below them. */
  pids(): number[];
  /** Takes those of these processes that are to die out of frozen cgroups of others', which stay as they are. */
  takeBack(pids: readonly number[]): void;
  /** Kills all processes, frozen ones too, and waits until they are gone. */
  kill(): void;
  /** Sends a signal to each of them. */
  signal(number: number): void;
  freeze(): void;
  thaw(): void;
  frozen(): boolean;
  stats(): CgroupStats;
  /** undefined without a memory controller. */
  watchOom(): OomWatch | undefined;
  /** Removes what `create` made, and what the container made below that. */
  destroy(): void;
  mounts(): CgroupMounts;
}
