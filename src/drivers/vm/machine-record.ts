import { readText, renameFile, writeText } from "../../linux/file/file";
import { join } from "../../linux/file/path-text";
import type { ContainerId } from "../../oci/id";
import type { ProcessRecord } from "../../state/record";
import { containerDirectory, MACHINE } from "../../state/root";
import type { Accelerator } from "./qemu/qemu-arguments";

/** What hako keeps of a machine that goes on when the command has ended, in a directory of the container that it was made for. */
export interface MachineRecord {
  format: 1;
  qemu: ProcessRecord;
  accelerator: Accelerator;
  /** Bytes of its memory. */
  memory: number;
  /** The release of the guest's kernel. */
  kernel: string;
}

/** Files in a machine's directory. All of them are its owner's alone. */
export interface MachineFiles {
  directory: string;
  /** Where QEMU listens for who asks the guest's agent, and for who tells QEMU itself. */
  control: string;
  monitor: string;
  /** What QEMU writes. */
  words: string;
}

export function machineFiles(root: string, id: ContainerId): MachineFiles {
  const directory = join(containerDirectory(root, id), MACHINE);
  return {
    directory,
    control: join(directory, "control.sock"),
    monitor: join(directory, "qmp.sock"),
    words: join(directory, "qemu.log"),
  };
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

/** An error of ENOENT where there is no machine. */
export function readMachineRecord(files: MachineFiles): MachineRecord {
  return JSON.parse(readText(recordFile(files))) as MachineRecord;
}
