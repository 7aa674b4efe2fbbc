import type { UndoStack } from "../../base/undo";
import type { CgroupStats } from "../../cgroup";
import type { OomWatch } from "../../cgroup/stats/oom";
import type { MemoryShortage } from "../../cgroup/stats/shortage";
import type { Spent } from "../../cgroup/stats/spent";
import type { Fd } from "../../linux/call/fd";
import type { SeccompFilter } from "../../linux/process/filter-steps";
import type { ProcessRow } from "../../linux/process/process-row";
import type { CgroupManager } from "../../oci/cgroup-managers";
import type { Config, Process, Resources } from "../../oci/config";
import type { ContainerId, SandboxId } from "../../oci/id";
import type { State } from "../../oci/state";
import type { SchemaFlags } from "../../resctrl/resctrl";
import type { ProgramEnd } from "../../state/program-end";
import type { Container, ContainerRecord, DriverName, ProcessRecord, Status } from "../../state/record";
import type { ToldExec } from "./exec-told";
import type { ExecutedProcess } from "./executed-process";
import type { LivingContainer } from "./living";

/** What not every driver can do. A command that is asked for something which its driver can't do refuses that by name (`need`). */
export interface Abilities {
  /** criu can save the container's processes, and restore them. */
  checkpoint: boolean;
  /** The listener of a seccomp filter (SCMP_ACT_NOTIFY) can be handed to an agent of the host. */
  seccompListener: boolean;
  /** The container's processes can be in a class of Intel RDT. */
  intelRdt: boolean;
}

/** A program that a container's first process executes in place of the one which /process/args names. Its arguments are those of config.json. */
export interface ProgramInMemory {
  /** A file in memory (memfd_create(2)), which is executed by this descriptor. */
  file: Fd;
  /** Descriptors that the program has beside the standard streams and those of `preserveFds`, by the same numbers as in this process. */
  descriptors: readonly Fd[];
}

/** A first process of hako's own: the program is its child, to which it passes signals on; it reaps orphans, and ends as the program did. */
export interface OwnInit {
  /** Where it says how the program ended (program-end.ts). */
  end: Fd;
  /** An eventfd(2) that it adds to each time the program was stopped; undefined if nobody waits for that. */
  stops: Fd | undefined;
  /** There is no program: it is alone, for those of `exec`, and ends when it is asked to from outside of its pid namespace. */
  idle: boolean;
}

/** What a command says of it. */
export type OwnInitOptions = Pick<OwnInit, "stops" | "idle">;

/** A root file system that is only read, under an overlay that takes what is written. */
export interface OverlayRoot {
  /** Where it is mounted; absolute. */
  directory: string;
  /** What is read; absolute, without links. "/" is the host's root file system. */
  lower: string;
  /** A directory that keeps what is written; undefined: a tmpfs does, and what is written ends with the container. */
  writes: string | undefined;
  /** Directories `upper` and `work` for what is written to each of these places of the host, absolute: none of it is in memory. */
  layers?: ReadonlyMap<string, string> | undefined;
  /** The host's tree is bound as it is, and only these places of it are otherwise: for an ordinary user, who may lay nothing over all of it. */
  places?: readonly HostPlace[] | undefined;
}

/** How a place of the host's tree, which is only read, is in a container. A place that is mounted later may be in one that was before. */
export type HostPlace = { path: string } & (
  | { kind: "memory"; mode: number }
  /** Its files, with writes in memory, unless it is only read; `otherwise` where the kernel lays no overlay over it. */
  | { kind: "overlay"; mode: number; readonly?: boolean; otherwise: "memory" | undefined }
  | { kind: "read-only" }
  /** Memory, with what the host has there in it: some names bound, and links. */
  | {
      kind: "entries";
      mode: number;
      names: readonly string[];
      links: readonly (readonly [name: string, target: string])[];
    }
);

/** A place of the root file system, without links on its way, that no program can move or remove, nor a directory on the way to it where that is held, too. */
export interface HeldPlace {
  path: string;
  /** It is a symbolic link itself. */
  isLink?: boolean;
  /** It is only read, and so is all that is mounted below it. */
  readonly: boolean;
}

/** What a container may have otherwise, or not at all, where the kernel refuses it, as in a container that hako runs in. */
export interface Leniency {
  /** Nobody has asked for its host name: it keeps the outer one. */
  hostname: boolean;
  /** Loopback of a network namespace of its own stays down, with a warning. */
  loopback: boolean;
  /** In place of a procfs of its own it has the outer one, with the numbers and names of outer processes. */
  proc: boolean;
}

/** What a driver makes a container from. */
export interface CreatePlan {
  root: string;
  id: ContainerId;
  sandbox: SandboxId;
  config: Config;
  /** The program's seccomp filter, if it is compiled already. */
  filter: SeccompFilter | undefined;
  /** Absolute. */
  bundle: string;
  rootfs: string;
  /** What is in place of the rootfs. */
  overlay: OverlayRoot | undefined;
  /** The owners of its files are mapped as the container's user namespace maps ids. */
  mapsOwners?: boolean | undefined;
  /** Those above come first. */
  held?: readonly HeldPlace[] | undefined;
  /** undefined: all is as it says. */
  lenient?: Leniency | undefined;
  /** Its program opens nothing outside of its root directory, and changes no mounts, by Landlock. */
  landlocked?: boolean | undefined;
  state: State;
  cgroupManager: CgroupManager;
  /** Before the start somebody puts an interface into its network namespace. */
  networkComes?: boolean | undefined;
  consoleSocket: Fd | undefined;
  noPivot: boolean;
  noNewKeyring: boolean;
  preserveFds: number;
  /** The container need not wait for `start`. */
  mayRun: boolean;
  /** Its first process is killed at the end of this one. */
  diesWithMaker?: boolean | undefined;
  /** undefined: the program is the first process. */
  ownInit?: OwnInit | undefined;
  /** For another driver, whose containers have a process of this driver's on the host that stands for them. */
  program?: ProgramInMemory | undefined;
}

/** What the command does at certain moments of `create`. */
export interface CreateEvents {
  /** Right before or after something is made: stores what has to be removed with the container if this command is killed. */
  made(change: MadeByDriver): void;
  /** Namespaces and mounts are there, the rootfs is not entered yet: the time of createRuntime hooks. */
  runtimeCreated(): void;
  /** After those hooks, while the container's process is busy and this process would wait. */
  meanwhile(): void;
  /** Everything is made. After this the container waits for `start`, or runs. */
  created(): void;
  /** Where it runs: its process is becoming its program, and this one would wait until it has, or has failed to. */
  becoming?(): void;
}

/** The fields of a record that only its driver writes. */
export type MadeByDriver = Partial<
  Pick<ContainerRecord, "init" | "cgroup" | "resctrl" | "hostMounts" | "weaker" | "landlock">
>;

/** What the caller has said of a further process of a container. */
export interface ExecPlan {
  process: Process;
  /** The home directory of a user, by the container's /etc/passwd. */
  homeOf(uid: number): string;
  /** The ABI of Landlock that keeps it in the container's root directory, as it does the container's program. */
  landlock?: number | undefined;
  /** The words of `exec --cgroup`. */
  cgroups: readonly string[];
  consoleSocket: Fd | undefined;
  preserveFds: number;
  /** All that it starts can be ended with it, whatever session or group that makes for itself. */
  gathers: boolean;
  /** This command has nothing to do while it runs: it may be gone, if something of this one's pid ends as the process does. */
  leaves: boolean;
}

/** What an attendant needs that takes hako's place while a process runs in the foreground. */
export interface Attendance {
  /** Signals to pass on. */
  signals: readonly number[];
  /** The master of the terminal that is to be connected to hako's standard streams. */
  master: Fd | undefined;
}

/**
 * Called right before a process executes its program. With `mayLeave` an attendant may take hako's place: hako has nothing left to do for the
 * process then.
 */
export type Ready = (process: ProcessRecord, mayLeave: boolean) => Attendance | undefined;

/** Ports of a container's loopback: those that lead outside, and those that are led to. */
export interface LoopbackPorts {
  forwarded: readonly number[];
  published: readonly number[];
}

/** What `update` changes. Limits that are not given stay as they are. */
export interface Update {
  resources: Resources;
  /** Schemas of Intel RDT. */
  schemas: SchemaFlags;
}

/** What has to be removed of a container after the end of its first process, in this order, where system calls are enough. */
export interface PlainRemoval {
  /** The cgroup.kill file of cgroup v2 that ends other processes of the container. */
  kill: string | undefined;
  /** The container's cgroups. */
  cgroups: readonly string[];
  /** Whether all processes in these cgroups have ended, or are ending. */
  emptied: boolean;
  /** Cgroups above these, which stay if other containers are in them. */
  above: readonly string[];
}

/**
 * How a sandbox isolates its containers. Commands hold policy (states, pods, locks, words) and ask the driver for the rest: nothing but a
 * driver goes to the processes, cgroups and namespaces of a container. All verbs are synchronous.
 */
export interface SandboxDriver {
  readonly name: DriverName;
  readonly can: Readonly<Abilities>;
  /** Throws if this host can't make such a process. Called before anything is made. */
  check(process: Process): void;
  /**
   * Makes a container that waits for `start`, or one that runs: where `mayRun` allows and the driver can. The result says whether the container
   * runs. What must be undone if anything fails goes to `undo`.
   */
  create(plan: CreatePlan, events: CreateEvents, undo: UndoStack): boolean;
  /**
   * Lets a created container execute its program, and returns when the program runs. A start that fails leaves a container that still waits, or
   * one that has stopped.
   */
  start(container: Container): void;
  /**
   * For containers whose loopback is not that of their process's network namespace: see LeadPorts (src/network/loopback.ts). Before the start, when
   * the namespace has its interface.
   */
  leadPorts?(container: Container, ports: LoopbackPorts): readonly number[];
  /** Why a container stopped before its start; undefined if it was started. */
  deathBeforeStart(container: Container): Error | undefined;
  /** Starts a process beside the first one. Doesn't return if an attendant takes hako's place. */
  exec(container: LivingContainer, plan: ExecPlan, ready: Ready, undo: UndoStack): ExecutedProcess;
  /** Why a process of `exec` could not execute its program, for a hako that its attendant has started again. */
  execFailure(told: ToldExec, container: LivingContainer): Error;
  status(container: Container): Exclude<Status, "creating">;
  /** What `state` tells of how the container is isolated, beside the fields that all have. */
  isolation(container: Container): Readonly<Record<string, unknown>>;
  /** Sends a signal; false if no process is there. */
  signal(container: Container, signal: number, to: "first" | "all"): boolean;
  pause(container: Container): void;
  resume(container: Container): void;
  /** Changes limits; all of them are taken back when one is refused. */
  update(container: Container, changes: Update, made: (change: MadeByDriver) => void, undo: UndoStack): void;
  stats(container: Container): CgroupStats;
  /** A file that counts kills for lack of memory, in a line that begins with "oom_kill ", for an attendant. */
  memoryKillsFile(container: Container): string | undefined;
  /** How the program ended, where its first process's own end does not say it. */
  toldEnd(container: Container): ProgramEnd | undefined;
  /** What the container's processes have used up to now. */
  spent(container: Container): Spent;
  /** The limit of memory for which a process was killed; undefined if none was, or if no limit explains it. */
  memoryShortage(container: Container): MemoryShortage | undefined;
  /** undefined where nothing tells that memory ran out. */
  watchOom(container: Container): OomWatch | undefined;
  /** The numbers on the host of the container's processes, or of what stands there for them. */
  processes(container: Container): number[];
  /** All processes of a container that the host sees none of, with the numbers that they have in it; undefined where it sees them. */
  unseenProcesses(container: Container): ProcessRow[] | undefined;
  /** Ends all processes, and waits until they are gone. */
  end(container: Container): void;
  /** Removes all that `create` and `update` made outside of the container's directory. */
  remove(container: Container): void;
  /** What `end` and `remove` would do after the end of the first process, for an attendant; undefined where it takes more than system calls. */
  plainRemoval(container: Container): PlainRemoval | undefined;
  /** Ends and removes what can be found of a container whose record is missing or broken. */
  removeUnrecorded(root: string, id: ContainerId): void;
}
