import { asHakoError, HakoError } from "../../base/errors";
import { loadCgroup } from "../../cgroup/group/stored";
import { aliveProcess, waitForEnd } from "../../linux/process/process";
import type { ContainerId, SandboxId } from "../../oci/id";
import { logDebug, logWarning } from "../../output/log";
import { type Container, type ContainerRecord, readRecord } from "../../state/record";
import { takeTree } from "./confined/trees";
import { fitMachine } from "./fit-machine";
import { endProgram, KeptMachine } from "./kept-machine";
import { takeNetworkBack } from "./machine-network";
import {
  lockMachine,
  type MachineFiles,
  type MachineMember,
  type MachineRecord,
  machineFiles,
  readMachineRecord,
  removeMachine,
  sandboxesWithMachines,
  writeMachineRecord,
} from "./machine-record";

const DELETE_MS = 20_000;
const ENDING_MS = 2000;

/** The record of a machine that is there: QEMU lives. */
export function livingMachine(files: MachineFiles): MachineRecord | undefined {
  const record = readMachineRecord(files);
  const { qemu } = record ?? {};
  return qemu === undefined || aliveProcess(qemu.pid, qemu.startTime) === undefined ? undefined : record;
}

/** What a machine's record has of a container; undefined where it is in no machine. */
export function memberOf({ root, record }: Container): MachineMember | undefined {
  return readMachineRecord(machineFiles(root, record.sandbox))?.containers[record.id];
}

/** Changes what the record of a machine, which this process has locked, has of a container: it is in the machine from then on. */
export function changeMember(
  files: MachineFiles,
  id: ContainerId,
  change: (member: MachineMember | undefined) => MachineMember | undefined,
): void {
  const record = readMachineRecord(files);
  const member = change(record?.containers[id]);
  if (record !== undefined && member !== undefined)
    writeMachineRecord(files, { ...record, containers: { ...record.containers, [id]: member } });
}

/** Takes a container out of the machine of its sandbox, which ends with the last one. "not started": QEMU may be there, and has no record. */
export function leaveMachine(root: string, sandbox: SandboxId, id: ContainerId): "left" | "not started" {
  const files = machineFiles(root, sandbox);
  const lock = lockMachine(files);
  if (lock === undefined) return "left";
  using machine = new KeptMachine(files, lock);
  const record = readMachineRecord(files);
  if (record === undefined) {
    // of a command that was killed before it had one
    removeMachine(files);
    return "left";
  }
  // the machine that it was in has ended, and this is a later one
  if (!(id in record.containers)) return "left";
  const { [id]: member, ...containers } = record.containers;
  if (Object.keys(containers).length > 0) {
    writeMachineRecord(files, { ...record, containers });
    const { qemu } = record;
    if (qemu === undefined) return "left";
    // one that was killed takes a while to be gone, and out of the container's cgroups
    if (livingMachine(files) === undefined) {
      endProgram("QEMU", qemu);
      return "left";
    }
    const hasEnded = () => {
      if (!waitForEnd(qemu.pid, qemu.startTime, ENDING_MS)) return false;
      endProgram("QEMU", qemu);
      return true;
    };
    try {
      forget(machine, id, hasEnded);
      if (member?.files !== undefined) takeFiles(record, member.files);
      if (record.cgroupsOf === id) moveMachine(root, files, id);
    } catch (error) {
      if (!hasEnded()) throw error;
      return "left";
    }
    refit(machine, root, files, hasEnded);
    return "left";
  }
  if (record.qemu !== undefined) endProgram("QEMU", record.qemu);
  if (record.virtiofsd !== undefined) endProgram("virtiofsd", record.virtiofsd);
  takeNetworkBack(files);
  removeMachine(files);
  return record.qemu === undefined ? "not started" : "left";
}

/** Gives the others what they need now. A QEMU that was taken over may say what it likes: the container goes all the same. */
function refit(machine: KeptMachine, root: string, files: MachineFiles, hasEnded: () => boolean): void {
  try {
    fitMachine(machine, root, files);
  } catch (error) {
    if (!hasEnded()) logWarning(`the machine's processors: ${asHakoError(error).oneLine}`);
  }
}

/** Unmounts a container's files where the machine's processes have them. */
function takeFiles(
  { qemu, virtiofsd }: MachineRecord,
  { tree, writesRootfs, writesVolumes }: NonNullable<MachineMember["files"]>,
): void {
  if (qemu !== undefined && !writesRootfs) takeTree(qemu, tree);
  if (virtiofsd !== undefined && (writesRootfs || writesVolumes)) takeTree(virtiofsd, tree);
}

/** Has the guest end what there is of a container. One that does not answer keeps it, and nobody else. */
function forget(machine: KeptMachine, id: ContainerId, hasEnded: () => boolean): void {
  try {
    machine.ask("delete", { container: id }, DELETE_MS);
  } catch (error) {
    if (!hasEnded())
      logWarning(`container "${id}" may be left in its machine: ${asHakoError(error).oneLine}`);
  }
}

/** Moves QEMU, and what else of a machine is in the cgroups of a container that is about to go, into those of another one of its containers. */
function moveMachine(root: string, files: MachineFiles, leaving: ContainerId): void {
  const record = readMachineRecord(files);
  if (record?.qemu === undefined) return;
  const left = recordOf(root, leaving);
  const there = left?.cgroup === undefined ? [] : loadCgroup(left.cgroup).pids();
  const pids = new Set([record.qemu.pid, ...there.filter((pid) => pid !== left?.init?.pid)]);
  for (const id of Object.keys(record.containers) as ContainerId[]) {
    const { cgroup } = recordOf(root, id) ?? {};
    if (cgroup === undefined) continue;
    for (const pid of pids) loadCgroup(cgroup).join(pid);
    writeMachineRecord(files, { ...record, cgroupsOf: id });
    return;
  }
  throw new HakoError({
    code: "state",
    message: `container "${leaving}": no other container of its machine has cgroups that could take QEMU`,
  });
}

/** The record of a container; undefined if it can't be read. */
export function recordOf(root: string, id: ContainerId): ContainerRecord | undefined {
  try {
    return readRecord(root, id);
  } catch (error) {
    logDebug(asHakoError(error).oneLine);
    return undefined;
  }
}

/** Takes a container whose record is broken out of whichever machine it is in. */
export function leaveAnyMachine(root: string, id: ContainerId): void {
  for (const sandbox of sandboxesWithMachines(root)) {
    const record = readMachineRecord(machineFiles(root, sandbox));
    if (record !== undefined && id in record.containers) leaveMachine(root, sandbox, id);
  }
}
