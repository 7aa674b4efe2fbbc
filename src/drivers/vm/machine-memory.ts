import { HakoError } from "../../base/errors";
import { MEMORY_WITHOUT_LIMIT } from "./container-machine";
import type { KeptMachine } from "./kept-machine";
import { type MachineFiles, readMachineRecord, writeMachineRecord } from "./machine-record";

/** What a container needs of its machine's memory, by its limit. */
export function memoryOfContainer(limit: number | bigint | undefined): number {
  return limit === undefined || limit <= 0 ? MEMORY_WITHOUT_LIMIT : Number(limit);
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
