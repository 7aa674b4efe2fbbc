import { cloneChild, Reports } from "../linux/clone";
import { prepareExecution } from "../linux/exec";
import { Fd } from "../linux/fd";
import { setNamespace } from "../linux/namespace";
import { O } from "../linux/path";
import { Pipe } from "../linux/pipe";
import { controllingTerminalStep } from "../linux/pty";
import { writeAll } from "../linux/socket";
import { type Step, stepError } from "../linux/steps";
import { address, syscall } from "../linux/syscall";
import { finalAffinityStep } from "./attributes";
import { executionOf, type Program } from "./final";
import type { Parent } from "./parent";
import type { ExecRequest } from "./protocol";

/**
 * Makes the program's process in the container's pid namespace and stays until it has executed the program. That process only
 * makes system calls: all that the container can see of it is a process in the container's own root, with the program's
 * identity. Our parent is its parent, moves it into cgroups by its pid, and lets it go on.
 */
export function launchProgram(request: ExecRequest, program: Program, parent: Parent): never {
  const { process: specified } = request;
  const { path, args, environment, capabilities, filterNeedsRight } = program;
  // open to the end: the number of a filter's listener is foretold from what is open
  using namespace = request.pidNamespace === undefined ? undefined : new Fd(request.pidNamespace);
  using go = new Pipe("pipe to the program's process");
  const steps: Step[] = [];
  using reports = new Reports(steps);
  const first = firstSteps(request, go);
  const options = executionOf(specified, program, parent.socket, request);
  const execution = prepareExecution(path, args, environment, options);
  steps.push(...first.steps, ...execution.steps);
  const memory = [...first.memory, ...execution.memory];
  // of our children; none of our own threads can be made from here on
  if (namespace !== undefined) setNamespace(namespace, "pid");
  if (!filterNeedsRight) syscall("capset", capabilities.header, capabilities.sets);
  const pid = cloneChild(
    { flags: 0, cgroup: undefined, join: [], steps, sibling: true, waitsForNothing: false, memory },
    reports,
  );
  parent.reached("ready", pid);
  writeAll(go.write, new Uint8Array(1));
  const failed = reports.last();
  if (failed === undefined) process.exit(0);
  const [step, result] = failed;
  const before = first.steps.length;
  throw step < before ? stepError(steps, failed) : execution.failure(step - before, result);
}

/** What the program's process does before it may take a look at anything but itself. */
function firstSteps(request: ExecRequest, go: Pipe): { steps: Step[]; memory: ArrayBufferView[] } {
  const { process: specified, cgroupFiles } = request;
  const byte = new Uint8Array(1);
  const self = Buffer.from("0");
  const affinity = finalAffinityStep(specified);
  const steps: Step[] = [
    // closes it, else we would wait for ourselves; its number stays taken, for the foretold one of a filter's listener
    {
      what: "dup3 (pipe to the program's process)",
      call: "dup3",
      args: [go.read.number, go.write.number, O.CLOEXEC],
    },
    { what: "setsid", call: "setsid", args: [] },
    ...(specified.terminal === true ? [controllingTerminalStep(0)] : []),
    { what: "wait for the caller", call: "read", args: [go.read.number, address(byte), 1], least: 1 },
    ...cgroupFiles.map(
      (file): Step => ({ what: "join a cgroup: write", call: "write", args: [file, address(self), 1] }),
    ),
    ...(affinity === undefined ? [] : [affinity.step]),
  ];
  return { steps, memory: [byte, self, ...(affinity === undefined ? [] : [affinity.memory])] };
}
