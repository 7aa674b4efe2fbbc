import { stringVector } from "../../../linux/call/argument-memory";
import { CLOSE_RANGE, MSG, SOCK } from "../../../linux/call/constants";
import { Fd, freeDescriptors } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { descriptorMessage } from "../../../linux/file/descriptor-passing";
import { execveStep, repairSteps } from "../../../linux/process/execute";
import { filterSteps, hasListener } from "../../../linux/process/filter-steps";
import { parentDeathStep, setParentDeathSignal } from "../../../linux/process/process";
import { limitSteps } from "../../../linux/process/rlimit";
import type { RemoteProcess } from "../../../linux/remote/remote-process";
import { closeStep, executeStep, keepStep } from "../../../linux/steps/child-steps";
import type { Process } from "../../../oci/config";
import { openFilesFor, type Program, processLimits } from "./prepared-program";

export interface LastStepsOptions {
  preserveFds: number;
  /** Others that the program has, by their numbers. */
  descriptors: readonly Fd[];
  /** It is killed at the end of the process that has made it. */
  diesWithMaker: boolean;
}

export interface StartMeeting {
  /** What start connects to. */
  startSocket: Fd;
  /** Whether start has something to do in the container before the program comes. */
  hooks: boolean;
}

/**
 * Leaves the container's process its last steps, which it makes when `start` connects: it hands over the range in which they
 * are, and becomes the program. With hooks it waits in between until start tells it to.
 */
export function leaveLastSteps(
  remote: RemoteProcess,
  process: Process,
  program: Program,
  options: LastStepsOptions,
  { startSocket, hooks }: StartMeeting,
): void {
  remote.act(() => {
    const [connection, listener] = freeDescriptors(
      program.filter !== undefined && hasListener(program.filter),
    );
    const meeting = meetingSteps(startSocket, connection, remote.range.descriptor);
    const last = programSteps(process, program, connection, listener, options);
    remote.prepare(hooks ? last : [...meeting, ...last]);
    if (!options.diesWithMaker) setParentDeathSignal(0);
    if (hooks) remote.later(meeting);
    else remote.become();
  });
}

/** Has the container's process make its last steps; `way` is its end of a connection to this one, which takes its filter's listener. */
export function makeLastSteps(
  remote: RemoteProcess,
  process: Process,
  program: Program,
  options: LastStepsOptions,
  way: Fd,
): void {
  remote.act(() => {
    const { filter } = program;
    const [listener] = filter !== undefined && hasListener(filter) ? freeDescriptors(false) : [0];
    const last = programSteps(process, program, way.number, listener, options);
    // from then on it goes its way, whatever becomes of us
    remote.prepare(options.diesWithMaker ? last : [parentDeathStep(0), ...last]);
    remote.become();
  });
}

/** Takes start's connection, which gets the number that is free, and hands it the range. */
function meetingSteps(startSocket: Fd, connection: number, range: number): Step[] {
  return [
    {
      what: "wait for start: accept4",
      call: "accept4",
      args: [startSocket.number, 0, 0, SOCK.CLOEXEC],
      success: { exactly: connection },
    },
    closeStep(startSocket),
    {
      what: "answer start: sendmsg",
      call: "sendmsg",
      args: [connection, descriptorMessage(range), MSG.NOSIGNAL],
    },
  ];
}

/** Limits and filter come with execve in one table, for they may forbid everything else. */
function programSteps(
  process: Process,
  { file, args, environment, filter, last }: Program,
  connection: number,
  listener: number,
  { preserveFds, descriptors }: LastStepsOptions,
): Step[] {
  const limits = processLimits(process);
  const vectors = [stringVector(args), stringVector(environment)] as const;
  return [
    ...repairSteps(openFilesFor(limits)),
    {
      what: "close_range of all descriptors but the program's",
      call: "close_range",
      args: [3 + preserveFds, 0xffffffff, CLOSE_RANGE.CLOEXEC],
    },
    ...descriptors.map(({ number }) => keepStep(number)),
    ...limitSteps(limits),
    ...(filter === undefined ? [] : filterSteps(filter, new Fd(connection), last, listener)),
    typeof file === "string" ? execveStep(file, ...vectors) : executeStep(file, ...vectors),
  ];
}
