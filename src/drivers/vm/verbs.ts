import { asHakoError } from "../../base/errors";
import { loadCgroup } from "../../cgroup/group/stored";
import { SIG } from "../../linux/call/constants";
import { hasErrno } from "../../linux/file/file";
import { signalProcess, waitForEnd } from "../../linux/process/process";
import { logWarning } from "../../output/log";
import type { Container } from "../../state/record";
import { namespacesDriver } from "../namespaces/index";
import { endQemu, KeptMachine } from "./kept-machine";
import { machineFiles, readMachineRecord } from "./machine-record";

const START_MS = 60_000;
const SIGNAL_MS = 10_000;
const END_MS = 10_000;

/** Has the program executed in the guest, and then its stand-in on the host, which finds in its socket what the program has said since. */
export function startInMachine(container: Container): void {
  const { root, record } = container;
  try {
    using machine = new KeptMachine(machineFiles(root, record.id));
    machine.ask("start", { container: record.id }, START_MS);
  } catch (error) {
    // as of a program that could not be executed: the container has stopped
    const { init } = record;
    if (init !== undefined && signalProcess(init.pid, init.startTime, SIG.KILL))
      waitForEnd(init.pid, init.startTime, END_MS);
    throw error;
  }
  namespacesDriver.start(container);
}

/** The driver, and what the machine is: an emulated one is no security boundary. */
export function isolationOf({ root, record }: Container): Readonly<Record<string, unknown>> {
  try {
    const { accelerator, kernel } = readMachineRecord(machineFiles(root, record.id));
    return { driver: "vm", machine: { accelerator, securityBoundary: accelerator !== "tcg", kernel } };
  } catch (error) {
    // it is being made, or what was killed has left no more
    if (hasErrno(error, "ENOENT")) return { driver: "vm" };
    throw error;
  }
}

/** Sends a signal to the program, or to all processes in the guest; false if none is there. */
export function signalInMachine(container: Container, signal: number, to: "first" | "all"): boolean {
  const { root, record } = container;
  if (namespacesDriver.status(container) === "stopped") return false;
  // the end of the stand-in is the program's, whatever the guest is about
  if (signal === SIG.KILL) return namespacesDriver.signal(container, signal, "first");
  try {
    using machine = new KeptMachine(machineFiles(root, record.id));
    return machine.ask("signal", { container: record.id, signal, all: to === "all" }, SIGNAL_MS).sent;
  } catch (error) {
    // it has ended meanwhile, and the machine with it
    if (namespacesDriver.status(container) === "stopped") return false;
    throw error;
  }
}

/** Ends the stand-in and QEMU, and waits until they are gone. */
export function endMachine(container: Container): void {
  const { root, record } = container;
  const files = machineFiles(root, record.id);
  try {
    endQemu(readMachineRecord(files).qemu);
  } catch (error) {
    // one that was being made, whose QEMU is in the container's cgroup
    if (!hasErrno(error, "ENOENT")) logWarning(asHakoError(error).oneLine);
  }
  namespacesDriver.end(container);
  if (record.cgroup !== undefined) loadCgroup(record.cgroup).kill();
}
