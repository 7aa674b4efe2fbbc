import { LOCK } from "../../linux/call/constants";
import type { Fd } from "../../linux/call/fd";
import {
  hasErrno,
  listNames,
  makeDirectories,
  makeNewDirectory,
  readText,
  removeDirectory,
  removeTree,
  renameFile,
  writeText,
} from "../../linux/file/file";
import { basename, dirname, join, resolve } from "../../linux/file/path-text";
import { type ContainerId, type SandboxId, sandboxId } from "../../oci/id";
import type { TemplateUse } from "../../settings/settings";
import { lockFile } from "../../state/file-lock";
import type { ProcessRecord } from "../../state/record";
import type { CpuLimit } from "./cpu-limits";
import type { CpuSet } from "./cpu-sets";
import type { Cache } from "./files/virtiofsd-arguments";
import type { Accelerator } from "./qemu/qemu-arguments";

/** What hako keeps of a machine that goes on when the command has ended. */
export interface MachineRecord {
  format: 1;
  /** undefined while it is being started. */
  qemu: ProcessRecord | undefined;
  /** Serves the files that are written; undefined where none are. */
  virtiofsd?: (ProcessRecord & { cache: Cache }) | undefined;
  /** Whether virtiofsd can be plugged in: it needs the guest's memory. */
  sharesMemory?: boolean | undefined;
  accelerator: Accelerator;
  /** Bytes of its memory, and what that can become. */
  memory: number;
  mostMemory: number;
  /** What of it the guest needs itself. */
  memoryOfGuest: number;
  /** How many processors it has, and can get. */
  cpus: number;
  mostCpus: number;
  /** In whose cgroups QEMU is. */
  cgroupsOf: ContainerId;
  /** What it has of a template; "off" if it has booted. */
  template: TemplateUse;
  /** The release of the guest's kernel. */
  kernel: string;
  /** The containers that are in it: it ends with the last one. */
  containers: Readonly<Record<ContainerId, MachineMember>>;
}

/** What a machine's record has of each of its containers. */
export interface MachineMember {
  /** Bytes that it needs. */
  memory: number;
  cpu?: CpuLimit | undefined;
  /** What of the host it is bound to. */
  cpuset?: CpuSet | undefined;
  /** It is the first one of a pod, which does nothing but wait. */
  waits?: boolean | undefined;
  /** The name of its files among those of the machine, and whether it writes to them. */
  files?: { tree: string; writesRootfs: boolean; writesVolumes: boolean } | undefined;
  /** It is frozen in the guest. */
  paused?: boolean | undefined;
}

/** Files in a machine's directory. All of them are its owner's alone. */
export interface MachineFiles {
  directory: string;
  /** Locked by who makes or ends the machine, or speaks to it. */
  lock: string;
  /** Where QEMU listens for who asks the guest's agent, and for who tells QEMU itself. */
  control: string;
  monitor: string;
  /** What QEMU writes, and virtiofsd. */
  words: string;
  serverWords: string;
  /** Where virtiofsd is found, for a moment. */
  server: string;
}

/** No id has this character: the directory of all machines is no container's. */
const MACHINES = "@machines";

/** A machine is its sandbox's: containers come and go. */
export function machineFiles(root: string, sandbox: SandboxId): MachineFiles {
  const directory = join(resolve(root), MACHINES, sandbox);
  return {
    directory,
    lock: join(directory, "lock"),
    control: join(directory, "control.sock"),
    monitor: join(directory, "qmp.sock"),
    words: join(directory, "qemu.log"),
    serverWords: join(directory, "virtiofsd.log"),
    server: join(directory, "files.sock"),
  };
}

/** Locks a machine until the result is closed, or this process ends; undefined if there is none. */
export function lockMachine({ lock }: MachineFiles): Fd | undefined {
  try {
    return lockFile(lock, LOCK.EX);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Locks the place of a machine, which need not be there yet. */
export function claimMachine(files: MachineFiles): Fd {
  for (;;) {
    makeDirectories(dirname(files.directory), 0o700);
    try {
      makeNewDirectory(files.directory, 0o700);
    } catch (error) {
      // the last machine has ended just now
      if (hasErrno(error, "ENOENT")) continue;
      throw error;
    }
    const lock = lockMachine(files);
    if (lock !== undefined) return lock;
  }
}

/** Removes the files of a machine, which this process has locked. */
export function removeMachine(files: MachineFiles): void {
  const { directory, lock } = files;
  emptyMachine(files);
  removeTree(lock);
  // another command may be about to make one here
  removeIfEmpty(directory);
  removeIfEmpty(dirname(directory));
}

/** Removes what a machine has left that has ended. */
export function emptyMachine({ directory, lock }: MachineFiles): void {
  for (const name of listNames(directory)) if (name !== basename(lock)) removeTree(join(directory, name));
}

function removeIfEmpty(directory: string): void {
  try {
    removeDirectory(directory);
  } catch (error) {
    if (!hasErrno(error, "ENOTEMPTY", "EEXIST", "ENOENT")) throw error;
  }
}

/** The sandboxes below a root that have machines. */
export function sandboxesWithMachines(root: string): SandboxId[] {
  try {
    return listNames(join(resolve(root), MACHINES)).map(sandboxId);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
}

function recordFile({ directory }: MachineFiles): string {
  return join(directory, "machine.json");
}

/** Writes the record so that a reader sees all of it or none. */
export function writeMachineRecord(files: MachineFiles, record: MachineRecord): void {
  const path = recordFile(files);
  writeText(`${path}.new`, `${JSON.stringify(record)}\n`, 0o600);
  renameFile(`${path}.new`, path);
}

/** undefined where there is no machine, or where it has no record yet. */
export function readMachineRecord(files: MachineFiles): MachineRecord | undefined {
  try {
    return JSON.parse(readText(recordFile(files))) as MachineRecord;
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
