import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  claimMachine,
  lockMachine,
  type MachineRecord,
  machineFiles,
  readMachineRecord,
  removeMachine,
  sandboxesWithMachines,
  writeMachineRecord,
} from "../../src/drivers/vm/machine-record";
import { leaveAnyMachine, leaveMachine, livingMachine } from "../../src/drivers/vm/members";
import { processStatus } from "../../src/linux/process/process";
import { containerId, sandboxId } from "../../src/oci/id";
import { containerIds } from "../../src/state/root";

const pod = sandboxId("pod");
const [a, b] = [containerId("a"), containerId("b")];

const MEMBER = { memory: 1 };

function record(over: Partial<MachineRecord> = {}): MachineRecord {
  const qemu = { pid: process.pid, startTime: processStatus(process.pid)?.startTime ?? 0 };
  return {
    ...({ format: 1, qemu, accelerator: "tcg", kernel: "6", template: "off", cgroupsOf: a } as const),
    ...{ memory: 1, mostMemory: 1, memoryOfGuest: 1, cpus: 1, mostCpus: 1 },
    containers: { [a]: MEMBER, [b]: MEMBER },
    ...over,
  };
}

function inRoot(action: (root: string) => void): void {
  const root = mkdtempSync(join(tmpdir(), "hako-machine-"));
  try {
    action(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

describe("the record of a machine", () => {
  test("a machine's directory is no container's, and goes with the last machine", () =>
    inRoot((root) => {
      const files = machineFiles(root, pod);
      expect(lockMachine(files)).toBeUndefined();
      expect(existsSync(files.directory)).toBeFalse();
      {
        using _ = claimMachine(files);
        expect(readMachineRecord(files)).toBeUndefined();
        writeMachineRecord(files, record());
        expect(readMachineRecord(files)).toEqual(record());
        writeFileSync(files.words, "words");
        expect(sandboxesWithMachines(root)).toEqual([pod]);
        expect(containerIds(root)).toEqual([]);
        using other = claimMachine(machineFiles(root, sandboxId("other")));
        expect(other.number).toBeGreaterThan(0);
        removeMachine(machineFiles(root, sandboxId("other")));
        removeMachine(files);
      }
      expect(readdirSync(root)).toEqual([]);
    }));

  test("it ends with its last container, and not for one that it has no more", () =>
    inRoot((root) => {
      const files = machineFiles(root, pod);
      claimMachine(files).close();
      // a process that is no more
      const ended = { pid: process.pid, startTime: 1 };
      writeMachineRecord(files, record({ qemu: ended }));
      expect(livingMachine(files)).toBeUndefined();
      expect(leaveMachine(root, pod, containerId("c"))).toBe("left");
      expect(leaveMachine(root, pod, a)).toBe("left");
      expect(readMachineRecord(files)?.containers).toEqual({ [b]: MEMBER });
      leaveAnyMachine(root, b);
      expect(readdirSync(root)).toEqual([]);
      expect(leaveMachine(root, pod, b)).toBe("left");
    }));

  test("one that was being started may have a QEMU that nobody knows", () =>
    inRoot((root) => {
      const files = machineFiles(root, pod);
      claimMachine(files).close();
      writeMachineRecord(files, record({ qemu: undefined, containers: { [a]: MEMBER } }));
      expect(leaveMachine(root, pod, a)).toBe("not started");
      claimMachine(files).close();
      expect(leaveMachine(root, pod, a)).toBe("left");
      expect(readdirSync(root)).toEqual([]);
    }));
});
