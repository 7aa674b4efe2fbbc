import { HakoError } from "../../base/errors";
import { printable } from "../../base/printable";
import type { CgroupStats } from "../../cgroup";
import { loadCgroup } from "../../cgroup/group/stored";
import { SIG } from "../../linux/call/constants";
import { signalProcess, waitForEnd } from "../../linux/process/process";
import type { ProcessRow } from "../../linux/process/process-row";
import type { Hooks, Resources } from "../../oci/config";
import { exactJson, parseJson } from "../../oci/json";
import { type Container, readStoredConfig } from "../../state/record";
import type { LoopbackPorts } from "../interface/driver";
import { namespacesDriver } from "../namespaces/index";
import { toldStats } from "./channel/stats-schema";
import { withoutCpuset } from "./cpu-sets";
import { changedMember, fitMachine } from "./fit-machine";
import { KeptMachine } from "./kept-machine";
import { renewNetwork } from "./machine-network";
import { machineFiles, readMachineRecord } from "./machine-record";
import { changeMember, leaveMachine, memberOf } from "./members";
import { HOOK_SECONDS, withoutStartHooks } from "./vm-config";

const START_MS = 60_000;
const SIGNAL_MS = 10_000;
const PAUSE_MS = 10_000;
const STATS_MS = 10_000;
/** As many as a kernel has numbers for by itself (PID_MAX_DEFAULT, include/linux/threads.h). */
const MOST_PROCESSES = 32768;
const PROCESSES_MS = 10_000;
const UPDATE_MS = 10_000;
const PORTS_MS = 20_000;
const END_MS = 10_000;

/** Has the program executed in the guest, and then its stand-in on the host, which finds in its socket what the program has said since. */
export function startInMachine(container: Container): void {
  const { root, record } = container;
  try {
    const files = machineFiles(root, record.sandbox);
    using machine = new KeptMachine(files);
    const { id, init } = record;
    if (init !== undefined) renewNetwork(machine, files, { id, init }, () => readStoredConfig(root, id));
    machine.ask("start", { container: record.id }, START_MS + hooksMs(record.hooks?.startContainer));
  } catch (error) {
    // as of a program that could not be executed: the container has stopped
    const { init } = record;
    if (init !== undefined && signalProcess(init.pid, init.startTime, SIG.KILL))
      waitForEnd(init.pid, init.startTime, END_MS);
    throw error;
  }
  // the guest has run those at the start
  namespacesDriver.start({ root, record: { ...record, hooks: withoutStartHooks(record.hooks) } });
}

/** Has the guest's agent lead ports of the container's loopback, of which its network is there by now. */
export function leadPortsInMachine(
  { root, record: { sandbox, id, init } }: Container,
  ports: LoopbackPorts,
): readonly number[] {
  if (init === undefined) throw new Error("a container without a process");
  const files = machineFiles(root, sandbox);
  using machine = new KeptMachine(files);
  renewNetwork(machine, files, { id, init }, () => readStoredConfig(root, id));
  const { forwarded, published } = ports;
  const answer = machine.ask(
    "ports",
    { container: id, forwarded: [...forwarded], published: [...published] },
    PORTS_MS,
  );
  if (answer.published.length === published.length) return answer.published;
  throw new HakoError({ code: "system", message: "the guest's agent sent ports that are none" });
}

/** How long hooks may take. */
function hooksMs(hooks: Hooks["startContainer"] = []): number {
  return hooks.reduce((sum, { timeout }) => sum + 1000 * (timeout ?? HOOK_SECONDS), 0);
}

/** The driver, and what the machine is: an emulated one is no security boundary. */
export function isolationOf({ root, record }: Container): Readonly<Record<string, unknown>> {
  const machine = readMachineRecord(machineFiles(root, record.sandbox));
  // it is being made, or what was killed has left no more
  if (machine === undefined) return { driver: "vm" };
  const { accelerator, kernel, template } = machine;
  const securityBoundary = accelerator !== "tcg";
  return { driver: "vm", machine: { accelerator, securityBoundary, kernel, template } };
}

/** Sends a signal to the program, or to all processes in the guest; false if none is there. */
export function signalInMachine(container: Container, signal: number, to: "first" | "all"): boolean {
  const { root, record } = container;
  if (namespacesDriver.status(container) === "stopped") return false;
  // the end of the stand-in is the program's, whatever the guest is about
  if (signal === SIG.KILL) return killStandIn(container);
  try {
    using machine = new KeptMachine(machineFiles(root, record.sandbox));
    return machine.ask("signal", { container: record.id, signal, all: to === "all" }, SIGNAL_MS).sent;
  } catch (error) {
    // it has ended meanwhile, and the machine with it
    if (namespacesDriver.status(container) === "stopped") return false;
    throw error;
  }
}

/** Of the container's processes on the host this one alone: QEMU may be in the same cgroups, for all containers of the machine. */
function killStandIn({ record: { init, cgroup } }: Container): boolean {
  if (init === undefined || !signalProcess(init.pid, init.startTime, SIG.KILL)) return false;
  // a frozen process does not even die
  if (cgroup !== undefined && loadCgroup(cgroup).frozen()) loadCgroup(cgroup).thaw();
  return true;
}

/** What a container does now: as its stand-in, unless it is frozen in the guest. */
export function statusInMachine(container: Container): ReturnType<typeof namespacesDriver.status> {
  const status = namespacesDriver.status(container);
  return status !== "stopped" && memberOf(container)?.paused === true ? "paused" : status;
}

/** Freezes the container's processes in the guest: other containers of the machine go on. */
export function pauseInMachine({ root, record: { sandbox, id } }: Container): void {
  const files = machineFiles(root, sandbox);
  using machine = new KeptMachine(files);
  // first: whoever comes when this command was killed can have it go on
  changeMember(files, id, (member) => member && { ...member, paused: true });
  try {
    machine.ask("pause", { container: id }, PAUSE_MS);
  } catch (error) {
    changeMember(files, id, (member) => member && { ...member, paused: undefined });
    throw error;
  }
}

export function resumeInMachine({ root, record: { sandbox, id } }: Container): void {
  const files = machineFiles(root, sandbox);
  using machine = new KeptMachine(files);
  machine.ask("resume", { container: id }, PAUSE_MS);
  changeMember(files, id, (member) => member && { ...member, paused: undefined });
}

/** The counters of the container's cgroup in the guest. */
export function statsInMachine({ root, record }: Container): CgroupStats {
  using machine = new KeptMachine(machineFiles(root, record.sandbox));
  const { stats: text } = machine.ask("stats", { container: record.id }, STATS_MS);
  const stats = toldStats(parseJson(text, "the guest's figures"));
  if (stats !== undefined) return stats;
  throw new HakoError({ code: "system", message: "the guest's agent sent figures that are none" });
}

/** All processes of the container. */
export function processesInMachine({ root, record }: Container): ProcessRow[] {
  const found: ProcessRow[] = [];
  const deadline = performance.now() + PROCESSES_MS;
  using machine = new KeptMachine(machineFiles(root, record.sandbox));
  for (let after = 0; found.length < MOST_PROCESSES; after = found.at(-1)?.pid ?? 0) {
    const left = deadline - performance.now();
    const { processes, more } = machine.ask("processes", { container: record.id, after }, left);
    found.push(...processes.map((row) => ({ ...row, command: printable(row.command) })));
    if (!more || processes.length === 0) return found;
  }
  throw new HakoError({
    code: "system",
    message: `the guest tells of more than ${MOST_PROCESSES} processes`,
  });
}

/** Changes limits of the container's cgroup in the guest, which gets more memory and processors if it has too little for them. */
export function updateInMachine({ root, record: { sandbox, id } }: Container, resources: Resources): void {
  const files = machineFiles(root, sandbox);
  const { devices: _, ...limits } = resources;
  using machine = new KeptMachine(files);
  const before = readMachineRecord(files)?.containers[id];
  if (before === undefined)
    throw new HakoError({ code: "state", message: "the container's machine is gone" });
  changeMember(files, id, () => changedMember(before, resources));
  try {
    fitMachine(machine, root, files);
    machine.ask("update", { container: id, resources: exactJson(withoutCpuset(limits)) }, UPDATE_MS);
  } catch (error) {
    changeMember(files, id, () => before);
    fitMachine(machine, root, files);
    throw error;
  }
}

/** Ends the stand-in, and with the last container QEMU, and waits until they are gone. */
export function endInMachine(container: Container): void {
  const { root, record } = container;
  const cgroup = record.cgroup === undefined ? undefined : loadCgroup(record.cgroup);
  // a frozen process does not even die
  if (namespacesDriver.status(container) === "paused") cgroup?.thaw();
  // it was being made: QEMU may be there, and known by this alone
  if (leaveMachine(root, record.sandbox, record.id) === "not started") cgroup?.kill();
  namespacesDriver.end(container);
}
