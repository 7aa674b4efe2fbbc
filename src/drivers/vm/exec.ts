import { HakoError } from "../../base/errors";
import { prepared, type UndoStack } from "../../base/undo";
import { ownVector } from "../../linux/call/argument-memory";
import { SIG } from "../../linux/call/constants";
import { type Fd, FdList } from "../../linux/call/fd";
import type { Step } from "../../linux/call/step";
import { perform } from "../../linux/call/walk";
import { ownStrings } from "../../linux/file/caller-environment";
import { sendFd } from "../../linux/file/descriptor-passing";
import { socketPair } from "../../linux/file/unix-socket";
import { capsetArguments } from "../../linux/process/capabilities";
import { noNewPrivilegesStep } from "../../linux/process/credentials";
import { processStatus, reapChild, signalProcess, startTimeOf } from "../../linux/process/process";
import { executeStep, inheritSteps, replaceStep } from "../../linux/steps/child-steps";
import { executeChild } from "../../linux/steps/clone-child";
import {
  controllingTerminalStep,
  getTermios,
  openPty,
  rawTermios,
  setTermios,
  setWindowSize,
} from "../../linux/terminal/pty";
import { exactJson } from "../../oci/json";
import type { ExecPlan, ProgramInMemory, Ready } from "../interface/driver";
import { ExecutedProcess } from "../interface/executed-process";
import type { LivingContainer } from "../interface/living";
import { noConsoleSocket } from "../namespaces/program/terminal";
import { withCallersLimits } from "./caller-limits";
import { streamPort } from "./channel/agent-protocol";
import { KeptMachine } from "./kept-machine";
import { machineFiles } from "./machine-record";
import { standIn } from "./stand-in/stand-in";

/** Loaded on first use. */
const rare = {
  get attendedExec() {
    return require("./attended-exec") as typeof import("./attended-exec");
  },
};

/** How long the guest may take to start a process. */
const EXEC_MS = 60_000;

/**
 * Starts a process beside a container's first one. What stands for it on the host is nothing of the container's: a child of this command's or,
 * where that may leave, what this command becomes. With a terminal it becomes the attendant of that child.
 */
export function execInMachine(
  container: LivingContainer,
  plan: ExecPlan,
  ready: Ready,
  undo: UndoStack,
): ExecutedProcess {
  refusePlan(plan);
  const [ours, theirs] = socketPair("streams of the process");
  // the guest ends its process when this end is closed
  using socket = ours;
  using streams = new FdList();
  const terminal = plan.process.terminal === true;
  const program = standIn(socket, streams, terminal);
  using slave = terminal ? terminalFor(plan) : undefined;
  begin(container, plan, theirs);
  if (plan.leaves && !terminal) {
    ready({ pid: process.pid, startTime: processStatus(process.pid)?.startTime ?? 0 }, true);
    perform(standInSteps(program));
    throw new Error("execveat came back");
  }
  const pid = executeChild({
    steps: [
      { what: "setsid", call: "setsid", args: [] },
      ...(slave === undefined ? [] : terminalSteps(slave)),
      ...standInSteps(program),
    ],
    cgroup: undefined,
  });
  const made = { pid, startTime: startTimeOf(pid) };
  undo.defer("its process", () => {
    signalProcess(pid, made.startTime, SIG.KILL);
    reapChild(pid, true);
  });
  const attendance = ready(made, terminal);
  if (attendance !== undefined) rare.attendedExec.leaveStandIn(pid, attendance);
  return new ExecutedProcess(made);
}

/** Has the guest start the process, with a port for its streams whose other end is this socket. */
function begin({ root, record }: LivingContainer, { process, gathers }: ExecPlan, end: Fd): void {
  using owned = end;
  using machine = new KeptMachine(machineFiles(root, record.sandbox));
  const port = streamPort(machine.connectStream(owned));
  machine.ask(
    "exec",
    { container: record.id, process: exactJson(withCallersLimits(process)), gathers, port },
    EXEC_MS,
  );
}

/** It has the caller's streams, and no rights over anything else. */
function standInSteps({ file, descriptors }: ProgramInMemory): Step[] {
  const { bytes, starts } = ownStrings("cmdline");
  return [
    ...inheritSteps(0, descriptors),
    noNewPrivilegesStep(),
    { what: "capset", call: "capset", args: capsetArguments(0n) },
    executeStep(file, ownVector(bytes, starts), ownVector(new Uint8Array(0), [])),
  ];
}

/** The slave of a terminal of the host's that passes bytes on as they are; its master goes to the caller. */
function terminalFor({ process, consoleSocket }: ExecPlan): Fd {
  if (consoleSocket === undefined) throw noConsoleSocket();
  const { master, slave } = openPty();
  using owned = master;
  return prepared(slave, () => {
    setTermios(owned, rawTermios(getTermios(owned)));
    if (process.consoleSize !== undefined) setWindowSize(owned, process.consoleSize);
    sendFd(consoleSocket, owned, "/dev/ptmx");
  });
}

function terminalSteps(slave: Fd): Step[] {
  return [...[0, 1, 2].map((stream) => replaceStep("terminal", stream, slave)), controllingTerminalStep(0)];
}

function refusePlan({ cgroups, preserveFds }: ExecPlan): void {
  const refuse = (what: string): never => {
    throw new HakoError({ code: "unsupported", message: `${what}: the driver "vm" can't do this` });
  };
  if (cgroups.length > 0) refuse("exec --cgroup");
  if (preserveFds > 0) refuse("exec --preserve-fds");
}
