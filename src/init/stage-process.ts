import { asHakoError, HakoError } from "../errors";
import { cloneChild, Reports, sealedExecutable } from "../linux/clone";
import type { Explanation } from "../linux/execution-error";
import type { Fd } from "../linux/fd";
import { hasErrno } from "../linux/file";
import { NAMESPACE_FLAGS } from "../linux/namespace";
import { O, openAt } from "../linux/path";
import { Pipe } from "../linux/pipe";
import {
  type Ending,
  hideProcess,
  processStatus,
  reapChild,
  signalProcess,
  waitForWord,
} from "../linux/process";
import { effectiveUser } from "../linux/rootless";
import { socketPair, writeAll } from "../linux/socket";
import type { Step } from "../linux/steps";
import { address, cString, trySyscall } from "../linux/syscall";
import { stringVector } from "../linux/vector";
import {
  errorFrom,
  type InitMessage,
  receiveValue,
  type Stage,
  type StageRequest,
  sendValue,
} from "./protocol";

const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;
const AT_EMPTY_PATH = 0x1000;
const CLOSE_RANGE_CLOEXEC = 4;
const F_SETFD = 2;
const CLONE_NEWPID = NAMESPACE_FLAGS.pid;
/**
 * The whole environment of our own stage inside the container. Without concurrent compilation and collection it has
 * one thread, so a pids limit of 1 does not hurt it.
 */
const STAGE_ENVIRONMENT = ["BUN_JSC_useConcurrentGC=0", "BUN_JSC_useConcurrentJIT=0"];

interface StartedProcess {
  pid: number;
  startTime: number;
}

/** A process of ours that becomes a container's program, or makes it; killed with its owner's end unless it was released. */
export class StageProcess implements Disposable {
  #released = false;
  #begun = false;
  #program: StartedProcess | undefined;

  constructor(
    readonly pid: number,
    readonly startTime: number,
    private readonly socket: Fd,
    private readonly reports: Reports,
    private readonly warn: (message: string) => void,
    private readonly explainEnd: StagePlan["explainEnd"],
  ) {}

  /** Lets it go on, and waits until it has come to `stage`; throws what it failed with. */
  advance(stage: Stage): void {
    if (this.#begun) this.#send("continue");
    this.#begun = true;
    for (;;) {
      const message = receiveValue(this.socket) as InitMessage | undefined;
      if (message === undefined) throw this.#death();
      if ("warning" in message) this.warn(message.warning);
      else if ("error" in message) throw errorFrom(message.error);
      else if (message.stage === stage) {
        const { pid } = message;
        if (pid !== undefined) this.#program = { pid, startTime: processStatus(pid)?.startTime ?? 0 };
        return;
      } else
        throw new HakoError({ code: "system", message: `init is at ${message.stage}, expected ${stage}` });
    }
  }

  /** The process that becomes the program: this one, or one that it has made, as it says when it is ready. */
  get program(): StartedProcess {
    return this.#program ?? { pid: this.pid, startTime: this.startTime };
  }

  /** From now on it goes its way, whatever becomes of this process; throws when it couldn't execute its program. `listener` gets its filter's. */
  release(listener?: (fd: Fd) => void): void {
    this.#send("continue");
    // its end of the socket closes when it waits for start, or executes
    waitForWord(this.socket, this.pid, this.startTime);
    const last = receiveValue(this.socket, listener) as InitMessage | undefined;
    if (last !== undefined && "error" in last) throw errorFrom(last.error);
    if (this.#program !== undefined) {
      // it stays until the process that it made has executed its program
      const ending = reapChild(this.pid, true);
      if (ending?.status !== 0) throw this.#death(ending);
    }
    this.#released = true;
    this.socket.close();
    this.reports[Symbol.dispose]();
  }

  begin(request: StageRequest): void {
    this.#send(request);
  }

  #send(value: unknown): void {
    try {
      sendValue(this.socket, value);
    } catch (error) {
      if (!hasErrno(error, "EPIPE", "ECONNRESET")) throw error;
      // it has ended, and may have said why
      const last = receiveValue(this.socket) as InitMessage | undefined;
      throw last !== undefined && "error" in last ? errorFrom(last.error) : this.#death();
    }
  }

  /** Why it has ended without a word. */
  #death(ended?: Ending): HakoError {
    const failed = this.reports.failure();
    if (failed !== undefined) return failed;
    const ending = ended ?? reapChild(this.pid, true);
    const how =
      ending === undefined
        ? "has gone"
        : ending.signal === undefined
          ? `exited with status ${ending.status}`
          : `was killed by signal ${ending.signal}`;
    const { why, hint } = this.explainEnd?.(ending?.signal) ?? {};
    const message = `the container's process ${how} before it was ready`;
    return new HakoError({
      code: "system",
      message: why === undefined ? message : `${message}: ${why}`,
      hint,
    });
  }

  [Symbol.dispose](): void {
    if (this.#released) return;
    const made = this.#program;
    signalProcess(this.pid, this.startTime, SIGKILL);
    if (made !== undefined) signalProcess(made.pid, made.startTime, SIGKILL);
    this.socket.close();
    this.reports[Symbol.dispose]();
    reapChild(this.pid, true);
    if (made !== undefined) reapChild(made.pid, true);
  }
}

interface StepOptions {
  userNamespace: boolean;
  lateFlags: number;
  preserveFds: number;
  executable: Fd;
  /** A pipe whose end we write to when the child's id maps are there; undefined if it needs none. */
  go: Pipe | undefined;
  /** Stay open over execve; the first is the socket to us. */
  keep: readonly Fd[];
}

/** What the child does between clone and execve. */
function childSteps(options: StepOptions): { steps: Step[]; memory: ArrayBufferView[] } {
  const { executable, go, keep } = options;
  const sync = keep[0]?.number ?? -1;
  const args = stringVector(["hako", "init", String(sync)]);
  const environment = stringVector(STAGE_ENVIRONMENT);
  const root = cString("/");
  const empty = cString("");
  const byte = new Uint8Array(1);
  const steps: Step[] = [
    { what: "prctl (parent death signal)", call: "prctl", args: [PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0] },
  ];
  if (go !== undefined) {
    steps.push(
      { what: "close", call: "close", args: [go.write.number] },
      { what: "wait for id maps", call: "read", args: [go.read.number, address(byte), 1], least: 1 },
    );
  }
  if (options.userNamespace) {
    steps.push(
      { what: "setgroups", call: "setgroups", args: [0, 0], optional: true },
      { what: "setresgid 0 in the user namespace", call: "setresgid", args: [0, 0, 0] },
      { what: "setresuid 0 in the user namespace", call: "setresuid", args: [0, 0, 0] },
    );
  }
  if (options.lateFlags !== 0) steps.push({ what: "unshare", call: "unshare", args: [options.lateFlags] });
  // the program's as well: Bun marks everything from 4 on close-on-exec when it starts
  const preserved = Array.from({ length: options.preserveFds }, (_, index) => 3 + index);
  const inherited = [...preserved, ...keep.map((fd) => fd.number)];
  steps.push(
    { what: "chdir /", call: "chdir", args: [address(root)] },
    {
      what: "close_range of foreign descriptors",
      call: "close_range",
      args: [3 + options.preserveFds, 0xffffffff, CLOSE_RANGE_CLOEXEC],
    },
    ...inherited.map(
      (fd): Step => ({ what: `keep descriptor ${fd}`, call: "fcntl", args: [fd, F_SETFD, 0] }),
    ),
    {
      what: "execveat of hako",
      call: "execveat",
      args: [
        executable.number,
        address(empty),
        address(args.pointers),
        address(environment.pointers),
        AT_EMPTY_PATH,
      ],
    },
  );
  const memory = [
    byte,
    root,
    empty,
    args.pointers,
    ...args.memory,
    environment.pointers,
    ...environment.memory,
  ];
  return { steps, memory };
}

/** What a stage process is made from. */
export interface StagePlan {
  /** CLONE_NEW* flags of new namespaces. */
  flags: number;
  /** Those that the process makes itself, when it has an identity in its user namespace. */
  lateFlags: number;
  /** What a helper joins before it makes the process. */
  join: readonly Step[];
  /** The directory of the v2 cgroup that it is born in; ours if undefined. */
  born: string | undefined;
  /** It is in a user namespace that is not ours: it becomes its root. */
  userNamespace: boolean;
  preserveFds: number;
  /** Descriptors that it gets beside its socket. */
  keep: readonly Fd[];
  /** Writes the maps of its new user namespace; it waits for them. */
  writeIdMaps: ((pid: number) => void) | undefined;
  warn(message: string): void;
  /** What else is known of its end, with the signal that ended it. */
  explainEnd?: ((signal: number | undefined) => Explanation) | undefined;
}

/** Of a child of ours, which ends with the attempt to find it out. */
function startTimeOf(child: number): number {
  try {
    return processStatus(child)?.startTime ?? 0;
  } catch (error) {
    // nobody has reaped it, so the number is its own
    trySyscall("kill", child, SIGKILL);
    reapChild(child, true);
    throw error;
  }
}

/** Makes a stage process, which waits for its request. */
export function startStage(plan: StagePlan): StageProcess {
  using executable = sealedExecutable();
  const [socket, theirs] = socketPair("socket to the container's process");
  using sync = theirs;
  using go = plan.writeIdMaps === undefined ? undefined : new Pipe("pipe to the container's process");
  const { flags, lateFlags, join, born, userNamespace, preserveFds } = plan;
  using cgroup = born === undefined ? undefined : openAt(undefined, born, O.RDONLY | O.DIRECTORY | O.CLOEXEC);
  const keep = [sync, ...plan.keep];
  const { steps, memory } = childSteps({ userNamespace, lateFlags, preserveFds, executable, go, keep });
  const reports = new Reports(steps);
  // an ordinary user could not write the maps of a process that nobody may look at; it is alone in its namespaces yet
  if (plan.writeIdMaps === undefined || effectiveUser() === 0) hideProcess();
  let stage: StageProcess;
  try {
    const waitsForNothing = go === undefined;
    const pid = cloneChild({ flags, cgroup, join, steps, waitsForNothing, memory }, reports);
    stage = new StageProcess(pid, startTimeOf(pid), socket, reports, plan.warn, plan.explainEnd);
  } catch (thrown) {
    socket.close();
    reports[Symbol.dispose]();
    const { explainClone } = require("../explain/clone") as typeof import("../explain/clone");
    const joinsPid = join.some(
      ({ call, args }) => call === "setns" && (Number(args[1]) & CLONE_NEWPID) !== 0,
    );
    throw explainClone(asHakoError(thrown), { flags, born, joinsPid });
  }
  // closed here, so that the end of the process is the end of it
  sync.close();
  if (go === undefined) return stage;
  try {
    plan.writeIdMaps?.(stage.pid);
    writeAll(go.write, new Uint8Array(1));
    return stage;
  } catch (error) {
    stage[Symbol.dispose]();
    throw error;
  }
}
