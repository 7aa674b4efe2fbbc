import type { SandboxDriver } from "../interface/driver";
import { namespacesDriver } from "../namespaces/index";
import { figuresFile, figuresOf, OomInMachine, shortageInMachine, toldEndInMachine } from "./figures";
import { leaveAnyMachine } from "./members";

/** Loaded on first use. */
const rare = {
  get create() {
    return require("./create") as typeof import("./create");
  },
  get exec() {
    return require("./exec") as typeof import("./exec");
  },
  get attendedExec() {
    return require("./attended-exec") as typeof import("./attended-exec");
  },
  get verbs() {
    return require("./verbs") as typeof import("./verbs");
  },
};

/**
 * Containers in virtual machines of their own. On the host each has a process of the namespaces driver's that stands for it, in the container's
 * namespaces and cgroups: what that driver says of this process is true of the container.
 */
export const vmDriver: SandboxDriver = {
  name: "vm",
  can: { checkpoint: false, seccompListener: false, intelRdt: false },
  check() {},
  create(plan, events, undo) {
    return rare.create.createInMachine(plan, events, undo);
  },
  leadPorts(container, ports) {
    return rare.verbs.leadPortsInMachine(container, ports);
  },
  start(container) {
    rare.verbs.startInMachine(container);
  },
  deathBeforeStart(container) {
    return namespacesDriver.deathBeforeStart(container);
  },
  exec(container, plan, ready, undo) {
    return rare.exec.execInMachine(container, plan, ready, undo);
  },
  execFailure(told) {
    return rare.attendedExec.leavingFailure(told);
  },
  status(container) {
    return rare.verbs.statusInMachine(container);
  },
  isolation(container) {
    return rare.verbs.isolationOf(container);
  },
  signal(container, signal, to) {
    return rare.verbs.signalInMachine(container, signal, to);
  },
  pause(container) {
    rare.verbs.pauseInMachine(container);
  },
  resume(container) {
    rare.verbs.resumeInMachine(container);
  },
  update(container, { resources }) {
    rare.verbs.updateInMachine(container, resources);
  },
  stats(container) {
    return rare.verbs.statsInMachine(container);
  },
  memoryKillsFile(container) {
    return figuresFile(container.root, container.record.id);
  },
  toldEnd(container) {
    return toldEndInMachine(container);
  },
  spent(container) {
    return figuresOf(container).spent;
  },
  memoryShortage(container) {
    return shortageInMachine(container);
  },
  watchOom(container) {
    return new OomInMachine(container);
  },
  processes({ root, record }) {
    const { init } = record;
    return init === undefined || namespacesDriver.status({ root, record }) === "stopped" ? [] : [init.pid];
  },
  unseenProcesses(container) {
    return rare.verbs.processesInMachine(container);
  },
  end(container) {
    rare.verbs.endInMachine(container);
  },
  remove(container) {
    namespacesDriver.remove(container);
  },
  // QEMU has to be waited for
  plainRemoval: () => undefined,
  removeUnrecorded(root, id) {
    leaveAnyMachine(root, id);
  },
};
