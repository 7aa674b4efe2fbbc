import type { SandboxDriver } from "../interface/driver";
import { plainRemoval } from "./plain-removal";
import { status } from "./status";

/** Loaded on first use. */
const rare = {
  get cgroupVerbs() {
    return require("./cgroup-verbs") as typeof import("./cgroup-verbs");
  },
  get programEnd() {
    return require("../../state/program-end") as typeof import("../../state/program-end");
  },
  get shortage() {
    return require("../../cgroup/stats/shortage") as typeof import("../../cgroup/stats/shortage");
  },
  get spent() {
    return require("../../cgroup/stats/spent") as typeof import("../../cgroup/stats/spent");
  },
  get removal() {
    return require("./removal") as typeof import("./removal");
  },
  get labels() {
    return require("./program/labels") as typeof import("./program/labels");
  },
  get create() {
    return require("./create") as typeof import("./create");
  },
  get start() {
    return require("./start") as typeof import("./start");
  },
  get exec() {
    return require("./exec") as typeof import("./exec");
  },
  get execFailure() {
    return require("./exec/exec-failure") as typeof import("./exec/exec-failure");
  },
  get signal() {
    return require("./signal") as typeof import("./signal");
  },
  get processes() {
    return require("./processes") as typeof import("./processes");
  },
  get unrecorded() {
    return require("./unrecorded") as typeof import("./unrecorded");
  },
};

/** Containers as processes of this kernel, in namespaces and cgroups. Each verb loads only what it needs. */
export const namespacesDriver: SandboxDriver = {
  name: "namespaces",
  can: { checkpoint: true, seccompListener: true, intelRdt: true },
  check(process) {
    if (process.apparmorProfile || process.selinuxLabel) rare.labels.checkLabels(process);
  },
  create(plan, events, undo) {
    return rare.create.createInNamespaces(plan, events, undo);
  },
  start(container) {
    rare.start.startInNamespaces(container);
  },
  deathBeforeStart(container) {
    return rare.start.deathBeforeStart(container);
  },
  exec(container, plan, ready, undo) {
    return rare.exec.execInNamespaces(container, plan, ready, undo);
  },
  execFailure(told, container) {
    return rare.execFailure.failureTold(told, container);
  },
  status,
  isolation({ record: { weaker, landlock } }) {
    return { ...(weaker && { weaker }), ...(landlock && { landlock }) };
  },
  signal(container, signal, to) {
    return rare.signal.signalProcesses(container, signal, to);
  },
  pause({ record }) {
    rare.cgroupVerbs.cgroupOf(record).freeze();
  },
  resume({ record }) {
    rare.cgroupVerbs.cgroupOf(record).thaw();
  },
  update(container, changes, made, undo) {
    rare.cgroupVerbs.updateLimits(container, changes, made, undo);
  },
  stats(container) {
    return rare.cgroupVerbs.containerStats(container);
  },
  memoryKillsFile({ record: { cgroup } }) {
    return cgroup === undefined ? undefined : rare.shortage.memoryKillsFile(cgroup);
  },
  toldEnd({ root, record }) {
    return record.ownInit ? rare.programEnd.programEnd(root, record.id) : undefined;
  },
  spent({ record: { cgroup, ownInit } }) {
    if (cgroup === undefined) return rare.spent.NOTHING_COUNTED;
    const spent = rare.spent.spentIn(cgroup);
    // without the first process, which is hako's
    const { pidsPeak } = spent;
    return ownInit && pidsPeak !== undefined ? { ...spent, pidsPeak: pidsPeak - 1 } : spent;
  },
  memoryShortage({ record: { cgroup } }) {
    return cgroup === undefined ? undefined : rare.shortage.memoryShortage(cgroup);
  },
  watchOom({ record }) {
    return rare.cgroupVerbs.cgroupOf(record).watchOom();
  },
  processes({ record }) {
    return rare.processes.processesOf(record);
  },
  unseenProcesses: () => undefined,
  end({ record }) {
    rare.removal.endProcesses(record);
  },
  remove({ record }) {
    rare.removal.removeMade(record);
  },
  plainRemoval({ record }) {
    return plainRemoval(record);
  },
  removeUnrecorded(root, id) {
    rare.unrecorded.removeUnrecorded(root, id);
  },
};
