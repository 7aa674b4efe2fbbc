import { HakoError } from "../../base/errors";
import type { UndoStack } from "../../base/undo";
import { loadCgroup } from "../../cgroup/group/stored";
import { type Fd, FdList } from "../../linux/call/fd";
import { recvFd, sendFd } from "../../linux/file/descriptor-passing";
import { socketPair } from "../../linux/file/unix-socket";
import { aliveProcess, waitForEnd } from "../../linux/process/process";
import { getTermios, rawTermios, setTermios } from "../../linux/terminal/pty";
import { sandboxOf } from "../../oci/container-type";
import { exactJson } from "../../oci/json";
import { logDebug, logWarning } from "../../output/log";
import { readSettings } from "../../settings/settings";
import type { ContainerRecord } from "../../state/record";
import { compiledFilter } from "../../state/stored-filter";
import type { CreateEvents, CreatePlan, MadeByDriver, ProgramInMemory } from "../interface/driver";
import { namespacesDriver } from "../namespaces/index";
import { type AgentData, streamPort } from "./channel/agent-protocol";
import { type ContainerMachine, containerMachine, workingQemu } from "./container-machine";
import { addFiles, findServer, refuseKernel, type ToldFiles } from "./container-trees";
import { openFigures } from "./figures";
import { filesOf } from "./files/container-files";
import { hostSockets, socketsWarning } from "./files/host-sockets";
import { fitMachine, memberOfConfig } from "./fit-machine";
import { GuestCache } from "./guest/guest-cache";
import { KeptMachine, startQemu } from "./kept-machine";
import { giveNetwork, refuseNetwork, takeNetworkBack } from "./machine-network";
import {
  claimMachine,
  emptyMachine,
  type MachineFiles,
  type MachineRecord,
  machineFiles,
  writeMachineRecord,
} from "./machine-record";
import { changeMember, leaveMachine, livingMachine } from "./members";
import { findParts, type MachineParts } from "./probe";
import type { Accelerator } from "./qemu/qemu-arguments";
import { renewMachine } from "./restore";
import { type SharedNamespaces, sharedNamespaces } from "./shared-namespaces";
import { standIn } from "./stand-in/stand-in";
import { savedMachine } from "./template";
import { guestConfig, hostConfig, refuseUnable } from "./vm-config";

/** How long a guest may take to its agent's first answer, and that to make a container. */
const BOOT_MS: Record<Accelerator, number> = { kvm: 15_000, tcg: 60_000 };
const CREATE_MS = 60_000;
/** How long a machine may take to go on from the state that it was saved in. */
const RESTORE_MS = 30_000;
const PING_MS = 10_000;
/** How long the end of a guest may take that has nothing left to be there for. */
const GOING_OFF_MS = 10_000;

/** What a new machine is made from. */
interface NewMachine {
  files: MachineFiles;
  parts: MachineParts;
  machine: ContainerMachine;
}

/** Makes a machine with a container that waits for its start, and a process on the host that stands for the container's. */
export function createInMachine(plan: CreatePlan, events: CreateEvents, undo: UndoStack): boolean {
  const { root, sandbox, config } = plan;
  const shared = sharedNamespaces(root, sandbox, config);
  refusePlan(plan, shared);
  const parts = findParts(readSettings().machine);
  const containerFiles = filesOf(config, plan.overlay);
  refuseKernel(parts.kernel, containerFiles);
  const server = findServer(containerFiles, parts.settings.virtiofsd);
  const warning = socketsWarning(hostSockets(config, plan.bundle));
  if (warning !== undefined) logWarning(warning);
  const working = workingQemu(parts);
  using guest = new GuestCache().guest(parts.kernel);
  const { qemu, plan: alike } = containerMachine(parts, guest, working);
  // other containers of a pod may write files, whatever the first one does
  const sharesMemory = server !== undefined || sandboxOf(config.annotations ?? {}) !== undefined;
  const whole = { qemu, plan: { ...alike, sharesMemory } };
  const machine = { files: machineFiles(root, sandbox), parts, machine: whole };
  const [ours, theirs] = socketPair("streams of the container");
  using owned = new FdList();
  owned.add(theirs);
  using socket = ours;
  using streams = new FdList();
  const terminal = config.process?.terminal === true;
  const program = standIn(socket, streams, terminal, {
    figures: openFigures(root, plan.id),
    stops: plan.ownInit?.stops,
  });
  const [receiver, sender] = terminal ? socketPair("socket for the terminal") : [undefined, undefined];
  using masterFrom = receiver;
  using masterTo = sender;
  let made: MadeByDriver = {};
  namespacesDriver.create(
    standInPlan(plan, program, masterTo),
    {
      made(change) {
        made = { ...made, ...change };
        events.made(change);
      },
      runtimeCreated() {
        events.runtimeCreated();
        // of one that a hook has ended its driver says why
        if (made.init !== undefined && aliveProcess(made.init.pid, made.init.startTime) !== undefined)
          refuseNetwork(machine.files, made.init, parts.kernel, plan.networkComes === true);
      },
      meanwhile() {
        events.meanwhile();
        if (masterFrom !== undefined && plan.consoleSocket !== undefined)
          passTerminal(masterFrom, plan.consoleSocket);
        using kept = machineFor(machine, plan, made, undo);
        const files = addFiles(kept, machine.files, plan, made, containerFiles, server);
        changeMember(machine.files, plan.id, (member) => member && { ...member, files });
        const stream = kept.connectStream(theirs);
        // nobody but QEMU is to keep it open
        theirs.close();
        kept.ask("create", containerOf(plan, shared, files, stream), CREATE_MS);
        if (made.init !== undefined)
          giveNetwork(kept, machine.files, { id: plan.id, init: made.init }, config);
        logDebug(`${plan.id}: made in its machine`);
      },
      created: () => events.created(),
    },
    undo,
  );
  return false;
}

/** The process on the host that stands for the container's: only what the host knows of that is true of it. */
function standInPlan(plan: CreatePlan, program: ProgramInMemory, consoleSocket: Fd | undefined): CreatePlan {
  const others = { filter: undefined, ownInit: undefined, mayRun: false };
  return { ...plan, ...others, config: hostConfig(plan.config), consoleSocket, program };
}

function containerOf(
  { id, bundle, config, filter, ownInit, noNewKeyring }: CreatePlan,
  shared: SharedNamespaces,
  files: ToldFiles,
  stream: number,
): AgentData<"create"> {
  // the host has it in its cache, mostly, and tells of what is wrong in it
  const compiled = filter ?? compiledFilter(config);
  return {
    container: id,
    bundle,
    ...files,
    config: exactJson(guestConfig(config, id, shared)),
    filter: compiled && { program: compiled.program.toBase64(), flags: compiled.flags },
    ownInit: ownInit?.idle ? "idle" : ownInit !== undefined,
    noNewKeyring,
    port: streamPort(stream),
  };
}

function refusePlan({ config, noPivot, preserveFds, ...plan }: CreatePlan, shared: SharedNamespaces): void {
  const refuse = (what: string, hint?: string): never => {
    throw new HakoError({ code: "unsupported", message: `${what}: the driver "vm" can't do this`, hint });
  };
  if (noPivot) refuse("--no-pivot");
  if (preserveFds > 0) refuse("--preserve-fds");
  if (plan.overlay?.layers !== undefined)
    refuse("--changes", "in a machine --keep-writes keeps what is written to a directory or an image");
  refuseUnable(config, shared);
}

/** Gives the host's terminal to the caller. It passes bytes on as they are: what keys mean is decided by the guest's. */
function passTerminal(from: Fd, to: Fd): void {
  const { fd, name } = recvFd(from);
  using master = fd;
  setTermios(master, rawTermios(getTermios(master)));
  sendFd(to, master, name);
}

/** The machine of the container's sandbox, which is started if there is none; the container is among those in it from now on. */
function machineFor(
  machine: NewMachine,
  plan: CreatePlan,
  made: Pick<Partial<ContainerRecord>, "init" | "cgroup">,
  undo: UndoStack,
): KeptMachine {
  const { root, sandbox, id, config } = plan;
  const { files } = machine;
  undo.defer("its machine", () => leaveMachine(root, sandbox, id));
  const kept = new KeptMachine(files, claimMachine(files));
  try {
    if (isThere(kept, files)) changeMember(files, id, () => memberOfConfig(config));
    else startMachine(kept, machine, plan, made);
    fitMachine(kept, root, files);
    return kept;
  } catch (error) {
    kept[Symbol.dispose]();
    throw error;
  }
}

/** Whether there is a machine that goes on for a while; the end of one that is about to end is waited for. */
function isThere(kept: KeptMachine, files: MachineFiles): boolean {
  const { qemu } = livingMachine(files) ?? {};
  if (qemu === undefined) return false;
  try {
    kept.ask("ping", {}, PING_MS);
    return true;
  } catch (error) {
    kept.hangUp();
    if (waitForEnd(qemu.pid, qemu.startTime, GOING_OFF_MS)) return false;
    throw error;
  }
}

/** Starts QEMU with the files that the container's process has, in the container's cgroups, and waits until the guest's agent answers. */
function startMachine(
  kept: KeptMachine,
  { files, parts, machine: made }: NewMachine,
  { id, config }: CreatePlan,
  { init, cgroup }: Pick<Partial<ContainerRecord>, "init" | "cgroup">,
): void {
  if (init === undefined) throw new Error("a machine before the container's process");
  const { settings, kernel } = parts;
  const { accelerator, memory, cpus, grows, sharesMemory } = made.plan;
  using saved = savedMachine(made, settings);
  takeNetworkBack(files);
  emptyMachine(files);
  const record: MachineRecord = {
    ...{ format: 1, qemu: undefined, accelerator, memory, memoryOfGuest: settings.memory, sharesMemory },
    ...{ mostMemory: Math.max(grows?.memory ?? 0, memory), template: saved?.use ?? "off" },
    ...{ cpus, mostCpus: Math.max(grows?.cpus ?? 0, cpus) },
    ...{ kernel: kernel.release, cgroupsOf: id, containers: { [id]: memberOfConfig(config) } },
  };
  writeMachineRecord(files, record);
  const start = performance.now();
  const process = startQemu(files, made.qemu, { ...made.plan, memoryFile: saved?.memory });
  writeMachineRecord(files, { ...record, qemu: process });
  if (cgroup !== undefined) loadCgroup(cgroup).join(process.pid);
  if (saved === undefined) kept.awaitAgent("hello", {}, BOOT_MS[accelerator]);
  else {
    kept.restore(saved.state, RESTORE_MS);
    renewMachine(kept, id, RESTORE_MS);
  }
  logDebug(`the guest answers after ${Math.round(performance.now() - start)} ms`);
  kept.endWithGuest();
}
