import { aliveProcess } from "../../linux/process/process";
import type { ContainerId, SandboxId } from "../../oci/id";
import { endProgram } from "./kept-machine";
import { takeNetworkBack } from "./machine-network";
import {
  lockMachine,
  type MachineFiles,
  type MachineRecord,
  machineFiles,
  readMachineRecord,
  removeMachine,
  sandboxesWithMachines,
  writeMachineRecord,
} from "./machine-record";

/** The record of a machine that is there: QEMU lives. */
export function livingMachine(files: MachineFiles): MachineRecord | undefined {
  const record = readMachineRecord(files);
  const { qemu } = record ?? {};
  return qemu === undefined || aliveProcess(qemu.pid, qemu.startTime) === undefined ? undefined : record;
}

/** Takes a container out of the machine of its sandbox, which ends with the last one. "not started": QEMU may be there, and has no record. */
export function leaveMachine(root: string, sandbox: SandboxId, id: ContainerId): "left" | "not started" {
  const files = machineFiles(root, sandbox);
  using lock = lockMachine(files);
  if (lock === undefined) return "left";
  const record = readMachineRecord(files);
  if (record === undefined) {
    // of a command that was killed before it had one
    removeMachine(files);
    return "left";
  }
  // the machine that it was in has ended, and this is a later one
  if (!(id in record.containers)) return "left";
  const { [id]: _, ...containers } = record.containers;
  if (Object.keys(containers).length > 0) {
    writeMachineRecord(files, { ...record, containers });
    return "left";
  }
  if (record.qemu !== undefined) endProgram("QEMU", record.qemu);
  if (record.virtiofsd !== undefined) endProgram("virtiofsd", record.virtiofsd);
  takeNetworkBack(files);
  removeMachine(files);
  return record.qemu === undefined ? "not started" : "left";
}

/** Takes a container whose record is broken out of whichever machine it is in. */
export function leaveAnyMachine(root: string, id: ContainerId): void {
  for (const sandbox of sandboxesWithMachines(root)) {
    const record = readMachineRecord(machineFiles(root, sandbox));
    if (record !== undefined && id in record.containers) leaveMachine(root, sandbox, id);
  }
}
