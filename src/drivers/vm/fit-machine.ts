import { HakoError } from "../../base/errors";
import { loadCgroup } from "../../cgroup/group/stored";
import type { Config, Resources } from "../../oci/config";
import { placeOf } from "../../oci/container-type";
import { readRecord } from "../../state/record";
import { MEMORY_WITHOUT_LIMIT } from "./container-machine";
import { changedCpuLimit, mergedCpuLimit, processorsFor } from "./cpu-limits";
import { changedCpuset, commonCpuset, processorsIn } from "./cpu-sets";
import type { KeptMachine } from "./kept-machine";
import {
  type MachineFiles,
  type MachineMember,
  type MachineRecord,
  readMachineRecord,
  writeMachineRecord,
} from "./machine-record";
import { limitProcessors } from "./processor-cgroup";
import { PLUGS_CPUS } from "./qemu/qemu-arguments";

const PROCESSORS_MS = 20_000;

/** What a container needs of its machine, by its config.json. */
export function memberOfConfig({ linux, annotations = {} }: Config): MachineMember {
  const { type, sandbox } = placeOf(annotations);
  const waits = type === "sandbox" && sandbox !== undefined ? true : undefined;
  return changedMember({ memory: waits ? 0 : MEMORY_WITHOUT_LIMIT, waits }, linux?.resources ?? {});
}

/** What it needs after its limits have changed. */
export function changedMember(member: MachineMember, { memory, cpu }: Resources): MachineMember {
  const limit = Number(memory?.limit ?? 0);
  // less than none is no limit
  const wanted = limit < 0 ? MEMORY_WITHOUT_LIMIT : limit || member.memory;
  return {
    ...member,
    memory: wanted,
    cpu: changedCpuLimit(member.cpu, cpu),
    cpuset: changedCpuset(member.cpuset, cpu),
  };
}

/**
 * Gives a machine, which this process has locked, what its containers need together: memory and processors, which can't be taken away again; and on
 * the host a limit of its processors' time, if all of its containers have one, and the processors and memory nodes that they are bound to.
 */
export function fitMachine(machine: KeptMachine, root: string, files: MachineFiles): void {
  const cpuset = commonCpuset(counted(recordOf(files).containers).map((member) => member.cpuset));
  ensureMemory(machine, files);
  ensureProcessors(machine, files, processorsIn(cpuset));
  const { containers, qemu, cgroupsOf } = recordOf(files);
  const { cgroup } = readRecord(root, cgroupsOf);
  if (cgroup === undefined || qemu === undefined) return;
  if (cpuset !== undefined) loadCgroup(cgroup).apply({ cpu: cpuset });
  const limit = mergedCpuLimit(counted(containers).map(({ cpu }) => cpu));
  limitProcessors(cgroup, qemu.pid, () => machine.processorThreads(), limit);
}

function recordOf(files: MachineFiles): MachineRecord {
  const record = readMachineRecord(files);
  if (record === undefined) throw new Error("a machine without a record");
  return record;
}

/** Those that do more than wait. */
function counted(containers: MachineRecord["containers"]): MachineMember[] {
  const all: readonly MachineMember[] = Object.values(containers);
  return all.filter(({ waits, cpu, cpuset }) => waits !== true || cpu !== undefined || cpuset !== undefined);
}

function ensureMemory(machine: KeptMachine, files: MachineFiles): void {
  const record = recordOf(files);
  const { containers, memory, mostMemory, memoryOfGuest } = record;
  const all: readonly MachineMember[] = Object.values(containers);
  const wanted = all.reduce((sum, member) => sum + member.memory, 0);
  const lacking = memoryOfGuest + wanted - memory;
  if (lacking <= 0) return;
  if (memoryOfGuest + wanted > mostMemory)
    throw new HakoError({
      code: "unsupported",
      message: `memory of ${wanted} bytes: the machine has ${memory - memoryOfGuest} bytes for its containers, and at most ${mostMemory - memoryOfGuest}`,
    });
  writeMachineRecord(files, { ...record, memory: memory + machine.plugMemory(lacking) });
}

function ensureProcessors(machine: KeptMachine, files: MachineFiles, least: number): void {
  const record = recordOf(files);
  const limits = counted(record.containers).flatMap(({ cpu }) => cpu ?? []);
  const wanted = Math.min(Math.max(processorsFor(mergedCpuLimit(limits)), least), record.mostCpus);
  if (wanted <= record.cpus) return;
  if (PLUGS_CPUS[record.accelerator]) machine.plugProcessors(wanted - record.cpus);
  writeMachineRecord(files, { ...record, cpus: wanted });
  machine.ask("processors", { count: wanted }, PROCESSORS_MS);
}
