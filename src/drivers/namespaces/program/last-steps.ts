import { stringVector } from "../../../linux/call/argument-memory";
import { CLOSE_RANGE, MSG, SOCK } from "../../../linux/call/constants";
import { Fd, freeDescriptors } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { descriptorMessage } from "../../../linux/file/descriptor-passing";
import { execveStep, repairSteps } from "../../../linux/process/execute";
import { filterSteps, hasListener } from "../../../linux/process/filter-steps";
import type { AllowedDescriptor } from "../../../linux/process/landlock";
import { parentDeathStep, setParentDeathSignal } from "../../../linux/process/process";
import { limitSteps } from "../../../linux/process/rlimit";
import type { RemoteProcess } from "../../../linux/remote/remote-process";
import { closeStep, executeStep, keepStep } from "../../../linux/steps/child-steps";
import { controllingTerminalStep } from "../../../linux/terminal/pty";
import type { Process } from "../../../oci/config";
import type { OwnInit } from "../../interface/driver";
import type { InitPlan } from "../init/become-init";
import { keptForFilter, openFilesFor, type Program, processLimits } from "./prepared-program";

/** Loaded on first use. */
const rare = {
  get landlockSteps() {
    return require("./landlock-steps") as typeof import("./landlock-steps");
  },
  /** Loaded for those whose program is not the first process. */
  get becomeInit() {
    return require("../init/become-init") as typeof import("../init/become-init");
  },
};

export interface LastStepsOptions {
  preserveFds: number;
  /** Others that the program has, by their numbers. */
  descriptors: readonly Fd[];
  /** It is killed at the end of the process that has made it. */
  diesWithMaker: boolean;
  /** undefined: this process becomes the program itself. */
  ownInit: OwnInit | undefined;
  /** What it may open again of what it has, where Landlock keeps it in its root directory. */
  landlocked: readonly AllowedDescriptor[] | undefined;
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
    const confined = confinementSteps(options);
    const [connection, listener] = freeDescriptors(
      program.filter !== undefined && hasListener(program.filter),
    );
    const meeting = meetingSteps(startSocket, connection, remote.range.descriptor);
    const last = programSteps(process, program, connection, listener, confined, options);
    if (options.ownInit !== undefined) {
      const start = { socket: startSocket, connection };
      rare.becomeInit.becomeInit(remote, last, initPlan(options, options.ownInit, program, start));
      return;
    }
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
    const confined = confinementSteps(options);
    const [listener] = filter !== undefined && hasListener(filter) ? freeDescriptors(false) : [0];
    const last = programSteps(process, program, way.number, listener, confined, options);
    if (options.ownInit !== undefined) {
      rare.becomeInit.becomeInit(remote, last, initPlan(options, options.ownInit, program, undefined));
      return;
    }
    // from then on it goes its way, whatever becomes of us
    remote.prepare(options.diesWithMaker ? last : [parentDeathStep(0), ...last]);
    remote.become();
  });
}

function initPlan(
  { diesWithMaker }: LastStepsOptions,
  ownInit: OwnInit,
  { filter }: Program,
  start: InitPlan["start"],
): InitPlan {
  return { ...ownInit, diesWithMaker, filtered: filter !== undefined, start };
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

/** They take descriptors, so they are prepared before it is known which are free. */
function confinementSteps({ landlocked, ownInit }: LastStepsOptions): Step[] {
  return landlocked === undefined || ownInit?.idle ? [] : rare.landlockSteps.landlockSteps(landlocked);
}

/** Limits and filter come with execve in one table, for they may forbid everything else. */
function programSteps(
  process: Process,
  { file, args, environment, filter, last }: Program,
  connection: number,
  listener: number,
  confined: readonly Step[],
  { preserveFds, descriptors, ownInit }: LastStepsOptions,
): Step[] {
  if (file === undefined) return [];
  const limits = processLimits(process);
  const forFilter = keptForFilter(process, filter) !== 0n;
  const vectors = [stringVector(args), stringVector(environment)] as const;
  return [
    ...(ownInit === undefined ? [] : jobSteps(process)),
    ...repairSteps(openFilesFor(limits)),
    {
      what: "close_range of all descriptors but the program's",
      call: "close_range",
      args: [3 + preserveFds, 0xffffffff, CLOSE_RANGE.CLOEXEC],
    },
    ...descriptors.map(({ number }) => keepStep(number)),
    ...limitSteps(limits),
    ...(forFilter || last === undefined ? [] : [last]),
    ...confined,
    ...(filter === undefined
      ? []
      : filterSteps(filter, new Fd(connection), forFilter ? last : undefined, listener)),
    typeof file === "string" ? execveStep(file, ...vectors) : executeStep(file, ...vectors),
  ];
}

/**
 * A program that is not the first process leads a job: in the first one's session, so that it can be stopped, or in one of its own, with its
 * terminal.
 */
function jobSteps({ terminal }: Process): Step[] {
  if (terminal !== true) return [{ what: "setpgid", call: "setpgid", args: [0, 0] }];
  return [{ what: "setsid", call: "setsid", args: [] }, controllingTerminalStep(0)];
}
