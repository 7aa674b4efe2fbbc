import { HakoError } from "../../base/errors";
import type { MachineSettings } from "../../settings/settings";
import type { KeptMachine } from "./kept-machine";
import { type MachineFiles, readMachineRecord, writeMachineRecord } from "./machine-record";

/** Of a container without a limit. */
const WITHOUT_LIMIT = 512 << 20;

/** What a container needs of its machine's memory, by its limit. */
export function memoryOfContainer(limit: number | bigint | undefined): number {
  return limit === undefined || limit <= 0 ? WITHOUT_LIMIT : Number(limit);
}

/** The memory of every machine when it is made: what its guest needs itself, and a container without a limit. */
export function memoryOfNewMachine({ memory }: MachineSettings): number {
  return memory + WITHOUT_LIMIT;
}

/** Has a machine have as much memory for its containers beside what its guest needs itself. */
export function ensureMemory(
  machine: KeptMachine,
  files: MachineFiles,
  wanted: number,
  ofGuest: number,
): void {
  const record = readMachineRecord(files);
  if (record === undefined) throw new Error("a machine without a record");
  const lacking = ofGuest + wanted - record.memory;
  if (lacking <= 0) return;
  if (ofGuest + wanted > record.mostMemory)
    throw new HakoError({
      code: "unsupported",
      message: `memory limit ${wanted}: the machine has ${record.memory - ofGuest} bytes for its containers, and at most ${record.mostMemory - ofGuest}`,
    });
  const memory = record.memory + machine.plugMemory(lacking);
  writeMachineRecord(files, { ...record, memory });
}
