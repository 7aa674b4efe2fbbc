import type { SandboxDriver } from "../interface/driver";
import { status } from "./status";

/** Containers as processes of this kernel, in namespaces and cgroups. Each verb loads only what it needs. */
export const namespacesDriver: SandboxDriver = {
  name: "namespaces",
  can: { checkpoint: true, seccompListener: true, intelRdt: true, hostPids: true },
  check(process) {
    const { checkLabels } = require("./program/labels") as typeof import("./program/labels");
    checkLabels(process);
  },
  create(plan, events, undo) {
    const { createInNamespaces } = require("./create") as typeof import("./create");
    createInNamespaces(plan, events, undo);
  },
  start(container, openFiles) {
    const { startInNamespaces } = require("./start") as typeof import("./start");
    startInNamespaces(container, openFiles);
  },
  deathBeforeStart(container) {
    const { deathBeforeStart } = require("./start") as typeof import("./start");
    return deathBeforeStart(container);
  },
  exec(container, plan, ready, undo) {
    const { execInNamespaces } = require("./exec") as typeof import("./exec");
    return execInNamespaces(container, plan, ready, undo);
  },
  execFailure(told, container) {
    const { failureTold } = require("./exec/exec-failure") as typeof import("./exec/exec-failure");
    return failureTold(told, container);
  },
  status,
  signal(container, signal, to) {
    const { signalProcesses } = require("./signal") as typeof import("./signal");
    return signalProcesses(container, signal, to);
  },
  pause({ record }) {
    limits().cgroupOf(record).freeze();
  },
  resume({ record }) {
    limits().cgroupOf(record).thaw();
  },
  update(container, changes, made, undo) {
    limits().updateLimits(container, changes, made, undo);
  },
  stats(container) {
    return limits().containerStats(container);
  },
  watchOom({ record }) {
    return limits().cgroupOf(record).watchOom();
  },
  processes({ record }) {
    const { processesOf } = require("./processes") as typeof import("./processes");
    return processesOf(record);
  },
  end({ record }) {
    removal().endProcesses(record);
  },
  remove({ record }) {
    removal().removeMade(record);
  },
  endRemains(root, id) {
    const { endRemains } = require("./remains") as typeof import("./remains");
    endRemains(root, id);
  },
};

function limits(): typeof import("./limits") {
  return require("./limits");
}

function removal(): typeof import("./removal") {
  return require("./removal");
}
