import { asHakoError, HakoError } from "../errors";
import { allOverExecutionSteps } from "../linux/capabilities";
import { executeStep, inheritSteps, ownerSteps } from "../linux/child-steps";
import { cloneChild, Reports, sealedExecutable } from "../linux/clone";
import type { Explanation } from "../linux/execution-error";
import { Fd } from "../linux/fd";
import { hasErrno } from "../linux/file";
import { NAMESPACE_FLAGS } from "../linux/namespace";
import { O, openAt } from "../linux/path";
import { Pipe } from "../linux/pipe";
import {
  hideProcess,
  parentDeathStep,
  reapChild,
  signalProcess,
  startTimeOf,
  waitForWord,
} from "../linux/process";
import { smallTableSteps } from "../linux/rlimit";
import { effectiveUser } from "../linux/rootless";
import type { SeccompFilter } from "../linux/seccomp";
import { sendFds, socketPair, writeAll } from "../linux/socket";
import type { Step } from "../linux/steps";
import { errorFrom } from "./error-message";
import type { NamespaceOwner } from "./owner";
import {
  type FilterMessage,
  type InitMessage,
  type InitRequest,
  receiveValue,
  type Stage,
  sendValue,
} from "./protocol";

const SIGKILL = 9;
const CLONE_NEWPID = NAMESPACE_FLAGS.pid;
/**
 * The whole environment of our own stage inside the container. Without concurrent compilation and collection it has one
 * thread, so a pids limit of 1 does not hurt it; memory that is prepared for more objects would never be used.
 */
const STAGE_ENVIRONMENT = [
  "BUN_JSC_useConcurrentGC=0",
  "BUN_JSC_useConcurrentJIT=0",
  "BUN_JSC_useWarmUpMarkedBlocks=0",
];

/** A process of ours that becomes a container's program; killed with its owner's end unless it was released. */
export class StageProcess implements Disposable {
  #released = false;
  #begun = false;

  constructor(
    readonly pid: number,
    readonly startTime: number,
    private readonly socket: Fd,
    private readonly reports: Reports,
    private readonly executable: Fd,
    private readonly warn: (message: string) => void,
    private readonly explainEnd: StagePlan["explainEnd"],
  ) {}

  /**
   * Lets it go on, and waits until it has come to `stage`, with `meanwhile` done before; throws what it failed with. It has been
   * executed by then: our hold of the executable goes where it costs nobody time, for the kernel waits for all processors (umount).
   */
  advance(stage: Stage, meanwhile?: () => void): void {
    if (this.#begun) {
      this.#send("continue");
      this.executable.close();
    }
    this.#begun = true;
    meanwhile?.();
    const reached = this.#hear();
    if (reached === stage) return;
    throw new HakoError({ code: "system", message: `init is at ${reached}, expected ${stage}` });
  }

  /** From now on it goes its way, whatever becomes of this process; throws when it had an error yet. */
  release(): void {
    this.#send("continue");
    // its end of the socket closes when it waits for start
    waitForWord(this.socket, this.pid, this.startTime);
    const last = receiveValue(this.socket) as InitMessage | undefined;
    if (last !== undefined && "error" in last) throw errorFrom(last.error);
    this.#released = true;
    this.socket.close();
    this.reports[Symbol.dispose]();
  }

  /** Tells it what to do, with the descriptors that the request speaks of, in the groups that it takes them in. */
  begin(request: InitRequest, groups: readonly (readonly Fd[])[]): void {
    this.#send(request);
    for (const descriptors of groups) this.#told(() => sendFds(this.socket, descriptors));
  }

  /** The filter of its program, which it can do without until its root file system is built. */
  giveFilter(filter: SeccompFilter | undefined): void {
    this.#send({ filter } satisfies FilterMessage);
  }

  #send(value: unknown): void {
    this.#told(() => sendValue(this.socket, value));
  }

  #told(tell: () => void): void {
    try {
      tell();
    } catch (error) {
      if (!hasErrno(error, "EPIPE", "ECONNRESET")) throw error;
      // it has ended, and may have said why
      this.#hear();
      throw this.#death();
    }
  }

  /** The next stage that it has come to, after all warnings; throws what it failed with. */
  #hear(): Stage {
    for (;;) {
      const message = receiveValue(this.socket) as InitMessage | undefined;
      if (message === undefined) throw this.#death();
      if ("warning" in message) this.warn(message.warning);
      else if ("error" in message) throw errorFrom(message.error);
      else return message.stage;
    }
  }

  /** Why it has ended without a word. */
  #death(): HakoError {
    const failed = this.reports.failure();
    if (failed !== undefined) return failed;
    const ending = reapChild(this.pid, true);
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
    signalProcess(this.pid, this.startTime, SIGKILL);
    this.socket.close();
    this.reports[Symbol.dispose]();
    this.executable.close();
    reapChild(this.pid, true);
  }
}

interface StepOptions {
  owner: NamespaceOwner | undefined;
  keepsGroups: boolean;
  lateFlags: number;
  preserveFds: number;
  executable: Fd;
  /** A pipe whose end we write to when the child's id maps are there; undefined if it needs none. */
  go: Pipe | undefined;
  /** Stay open over execve; the first is the socket to us. */
  keep: readonly Fd[];
}

/** What the child does between clone and execve. */
function childSteps(options: StepOptions): Step[] {
  const { executable, go, keep, owner, keepsGroups, lateFlags, preserveFds } = options;
  const steps: Step[] = [parentDeathStep(SIGKILL)];
  if (go !== undefined) {
    steps.push(
      { what: "close", call: "close", args: [go.write.number] },
      { what: "wait for id maps", call: "read", args: [go.read.number, new Uint8Array(1), 1], least: 1 },
    );
  }
  if (owner !== undefined) steps.push(...ownerSteps(keepsGroups, owner));
  if (owner !== undefined && owner.uid !== 0) steps.push(...allOverExecutionSteps());
  if (lateFlags !== 0) steps.push({ what: "unshare", call: "unshare", args: [lateFlags] });
  const sync = keep[0]?.number ?? -1;
  return [
    ...steps,
    { what: "chdir /", call: "chdir", args: ["/"] },
    // the program's as well: Bun marks everything from 4 on close-on-exec when it starts
    ...inheritSteps(preserveFds, keep),
    ...smallTableSteps(Math.max(2 + preserveFds, ...keep.map((fd) => fd.number))),
    executeStep(executable, ["hako", "init", String(sync)], STAGE_ENVIRONMENT),
  ];
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
  /** Who it becomes, if it is in a user namespace that is not ours. */
  owner: NamespaceOwner | undefined;
  /** It has our groups, also there. */
  keepsGroups: boolean;
  preserveFds: number;
  /** Descriptors that it gets beside its socket. */
  keep: readonly Fd[];
  /** Writes the maps of its new user namespace; it waits for them. */
  writeIdMaps: ((pid: number) => void) | undefined;
  warn(message: string): void;
  /** What else is known of its end, with the signal that ended it. */
  explainEnd?: ((signal: number | undefined) => Explanation) | undefined;
}

/** Makes a stage process, which waits for its request. */
export function startStage(plan: StagePlan): StageProcess {
  using executable = sealedExecutable();
  const [socket, theirs] = socketPair("socket to the container's process");
  using sync = theirs;
  using go = plan.writeIdMaps === undefined ? undefined : new Pipe("pipe to the container's process");
  const { flags, lateFlags, join, born, owner, keepsGroups, preserveFds } = plan;
  using cgroup = born === undefined ? undefined : openAt(undefined, born, O.RDONLY | O.DIRECTORY | O.CLOEXEC);
  const keep = [sync, ...plan.keep];
  const steps = childSteps({ owner, keepsGroups, lateFlags, preserveFds, executable, go, keep });
  const reports = new Reports(steps);
  // an ordinary user could not write the maps of a process that nobody may look at; it is alone in its namespaces yet
  if (plan.writeIdMaps === undefined || effectiveUser() === 0) hideProcess();
  let stage: StageProcess;
  try {
    const waitsForNothing = go === undefined;
    const pid = cloneChild({ flags, cgroup, join, steps, waitsForNothing }, reports);
    const startTime = startTimeOf(pid);
    const held = new Fd(executable.release());
    stage = new StageProcess(pid, startTime, socket, reports, held, plan.warn, plan.explainEnd);
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
