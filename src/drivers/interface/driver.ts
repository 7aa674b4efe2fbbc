import type { UndoStack } from "../../base/undo";
import type { CgroupStats } from "../../cgroup";
import type { OomWatch } from "../../cgroup/stats/oom";
import type { Fd } from "../../linux/call/fd";
import type { SeccompFilter } from "../../linux/process/filter-steps";
import type { CgroupManager } from "../../oci/cgroup-managers";
import type { Config, Process, Resources } from "../../oci/config";
import type { ContainerId } from "../../oci/id";
import type { State } from "../../oci/state";
import type { SchemaFlags } from "../../resctrl/resctrl";
import type { Container, ContainerRecord, DriverName, ProcessRecord, Status } from "../../state/record";
import type { ToldExec } from "./exec-told";
import type { LivingContainer } from "./living";

/** What not every driver can do. Where it is asked for, commands refuse it by its name (`need`). */
export interface Abilities {
  /** criu can save the container's processes, and restore them. */
  checkpoint: boolean;
  /** The listener of a seccomp filter (SCMP_ACT_NOTIFY) can be handed to an agent of the host. */
  seccompListener: boolean;
  /** The container's processes can be in a class of Intel RDT. */
  intelRdt: boolean;
  /** The host numbers all processes of the container, and its /proc has them. */
  hostPids: boolean;
}

/** What a container's first process executes in place of /process/args, which are its arguments all the same. */
export interface ProgramInMemory {
  /** A file in memory (memfd_create(2)), executed by its descriptor. */
  file: Fd;
  /** What it has beside the standard streams and those of `preserveFds`: by the numbers that they have here. */
  descriptors: readonly Fd[];
}

/** What a driver makes a container from. */
export interface CreatePlan {
  root: string;
  id: ContainerId;
  config: Config;
  /** The program's seccomp filter, where it was compiled before. */
  filter: SeccompFilter | undefined;
  /** Absolute. */
  bundle: string;
  rootfs: string;
  /** The host's root with a tmpfs over it, mounted on this directory, is the rootfs. */
  overlay: string | undefined;
  state: State;
  cgroupManager: CgroupManager;
  consoleSocket: Fd | undefined;
  noPivot: boolean;
  noNewKeyring: boolean;
  preserveFds: number;
  /** It need not wait for `start`. */
  mayRun: boolean;
  /** How another driver makes what stands for a container on the host. */
  program?: ProgramInMemory | undefined;
}

/** What `create` does when a driver has come that far. */
export interface CreateEvents {
  /** Before something is made, or right behind it: what has to be removed with the container if this command is killed. */
  made(change: MadeByDriver): void;
  /** The namespaces and mounts are there, the program's root is not entered yet: the time of createRuntime hooks. */
  runtimeCreated(): void;
  /** After these, when the container's process doesn't need us for a moment. */
  meanwhile(): void;
  /** All is done; after it the container waits for start, or runs. */
  created(): void;
}

/** What of a record its driver alone writes. */
export type MadeByDriver = Partial<Pick<ContainerRecord, "init" | "cgroup" | "resctrl" | "hostMounts">>;

/** What a driver starts a further process of a container from, as the caller has said it. */
export interface ExecPlan {
  process: Process;
  /** Where the container's files say that a user is at home. */
  homeOf(uid: number): string;
  /** Of `exec --cgroup`. */
  cgroups: readonly string[];
  consoleSocket: Fd | undefined;
  preserveFds: number;
}

/** What may take hako's place while a process runs in the foreground. */
export interface Attendance {
  /** Signals to pass on. */
  signals: readonly number[];
  /** The terminal that is to be connected to our standard streams. */
  master: Fd | undefined;
}

/**
 * Called right before a process executes its program. `mayLeave`: once it is let go, nothing is left to do for it but to attend it;
 * an attendance may take this process's place then.
 */
export type Ready = (process: ProcessRecord, mayLeave: boolean) => Attendance | undefined;

/** What `update` changes; what isn't given stays. */
export interface Update {
  resources: Resources;
  /** Of Intel RDT. */
  schemas: SchemaFlags;
}

/** What is left of a container after the end of its first process, as far as it takes system calls alone, in the order of removal. */
export interface PlainRemoval {
  /** A cgroup.kill of cgroup v2. */
  kill: string | undefined;
  /** Its cgroups, which are empty in a moment if they are `emptied`. */
  cgroups: readonly string[];
  emptied: boolean;
  /** Cgroups above them, which stay if others are there. */
  above: readonly string[];
}

/**
 * How a sandbox isolates its containers. Commands hold policy (states, pods, locks, words) and ask the driver for the rest: nothing but a
 * driver goes to the processes, cgroups and namespaces of a container. All verbs are synchronous.
 */
export interface SandboxDriver {
  readonly name: DriverName;
  readonly can: Readonly<Abilities>;
  /** Refuses a process that this host can't make. */
  check(process: Process): void;
  /**
   * Makes a container up to "created", or where it may and the driver can up to "running": whether it runs. What must be undone if
   * anything fails goes to `undo`.
   */
  create(plan: CreatePlan, events: CreateEvents, undo: UndoStack): boolean;
  /**
   * Lets a created container execute its program, and comes back when it runs. One that fails leaves a container that waits as before, or
   * one that has stopped.
   */
  start(container: Container): void;
  /** Why a container has stopped that was never started; undefined for others. */
  deathBeforeStart(container: Container): Error | undefined;
  /** Starts a process beside the first. Doesn't come back where `ready` has given an attendance. */
  exec(container: LivingContainer, plan: ExecPlan, ready: Ready, undo: UndoStack): ProcessRecord;
  /** Why such a process could not execute its program, as this command had told itself before it was started again. */
  execFailure(told: ToldExec, container: LivingContainer): Error;
  status(container: Container): Exclude<Status, "creating">;
  /** False if there is no process to be sent it. */
  signal(container: Container, signal: number, to: "first" | "all"): boolean;
  pause(container: Container): void;
  resume(container: Container): void;
  /** Changes limits; all of them are taken back when one is refused. */
  update(container: Container, changes: Update, made: (change: MadeByDriver) => void, undo: UndoStack): void;
  stats(container: Container): CgroupStats;
  /** undefined where nothing tells. */
  watchOom(container: Container): OomWatch | undefined;
  /** The numbers of all its processes: the host's, if it `can` say those. */
  processes(container: Container): number[];
  /** Ends all processes, and waits until they are gone. */
  end(container: Container): void;
  /** Removes all that `create` and `update` made outside of the container's directory. */
  remove(container: Container): void;
  /** What the two come to for a program that ends a run in hako's place; undefined where it is more than that. */
  plainRemoval(container: Container): PlainRemoval | undefined;
  /** Ends and removes what can be found of a container whose record is missing or broken. */
  removeUnrecorded(root: string, id: ContainerId): void;
}
