import { HakoError } from "../base/errors";
import { UndoStack } from "../base/undo";
import { driverOf } from "../drivers";
import { EXEC_AGAIN, toldExec } from "../drivers/interface/exec-told";
import type { ExecutedProcess } from "../drivers/interface/executed-process";
import { isEnding, LivingContainer } from "../drivers/interface/living";
import { SIG } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { ownVariable } from "../linux/file/caller-environment";
import { removeFile } from "../linux/file/file";
import { socketPair } from "../linux/file/unix-socket";
import { monotonicMs } from "../linux/kernel/clock";
import type { Process } from "../oci/config";
import type { ContainerId } from "../oci/id";
import { isDebugging, logDebug, logWarning } from "../output/log";
import { type Container, readContainer } from "../state/record";
import { type ExecValues, execProcess, lostCapabilities } from "./exec-spec";
import { connectConsoleSocket } from "./io/console-socket";
import type { SignalForwarder } from "./io/foreground";
import { FORWARDED } from "./io/forwarded-signals";
import { announcePid, type PidReceivers } from "./io/pid-receivers";
import type { RunEnd } from "./io/run-end";
import type { TimeLimit, TimeLimitValues } from "./io/time-limit";
import { statusOf } from "./status";
import { homeIn } from "./user";

/** Loaded on first use. */
const rare = {
  /** Loaded for programs that are watched from here. */
  get foreground() {
    return require("./io/foreground") as typeof import("./io/foreground");
  },
  /** Loaded for a container whose program Landlock keeps in. */
  get landlock() {
    return require("../linux/process/landlock") as typeof import("../linux/process/landlock");
  },
  get timeLimit() {
    return require("./io/time-limit") as typeof import("./io/time-limit");
  },
  get lifelineWatch() {
    return require("./io/lifeline-watch") as typeof import("./io/lifeline-watch");
  },
};

/** What a container has used is not what one process of it has. */
const UNCOUNTED = {
  ...{ cpuUserMs: undefined, cpuSystemMs: undefined },
  ...{ memoryPeakBytes: undefined, pidsPeak: undefined },
};

/** How often a paused container is looked at. */
const PAUSED_LOOK_MS = 50;
export interface ExecOptions extends PidReceivers {
  root: string;
  id: ContainerId;
  /** What the command line says of the process. */
  values: ExecValues;
  args: readonly string[];
  consoleSocketPath: string | undefined;
  detach: boolean;
  preserveFds: number;
  /** As `--cgroup` names them, below the container's own. */
  cgroups: readonly string[];
  ignorePaused: boolean;
  /** After which the process is killed, and all that it has started. */
  timeLimit: TimeLimitValues | undefined;
  /** A pipe, a socket or a pidfd: they are killed when its other end is closed, or its process has ended. */
  lifeline: Fd | undefined;
  /** Standard error isn't told that the time was over. */
  quiet: boolean;
  /** Told how it ended. */
  atEnd: ((end: RunEnd) => void) | undefined;
}

/**
 * Runs a process in a container beside its first one; its exit status, or 0 at once when it is detached. Where nothing has to be
 * done while it runs it doesn't come back: a small program takes this one's place.
 */
export async function execInContainer(options: ExecOptions): Promise<number> {
  const line = ownVariable(EXEC_AGAIN);
  if (line !== undefined) sayWhatFailed(line, options);
  const container = await runningContainer(options);
  // nothing of the container's is held while the program runs
  const begun = within(container, (living) => startBeside(living, options));
  const { terminal, forward } = begun;
  if (forward === undefined) return 0;
  try {
    using _ = terminal;
    return await watch(container, begun, forward, options);
  } finally {
    forward.stop();
  }
}

/** Waits for the process's end, or ends it when its time is over or the caller has gone; the command's exit status. */
async function watch(
  container: Container,
  { started, terminal, landlock }: Started,
  forward: SignalForwarder,
  { timeLimit, lifeline, quiet, atEnd }: ExecOptions,
): Promise<number> {
  const { statusOfEnding, waitForProgram } = rare.foreground;
  const [since, clock] = [new Date(), monotonicMs()];
  const spentIn = () => driverOf(container.record).spent(container);
  const before = atEnd && spentIn();
  using process = started;
  using limit = timeLimit && limitOn(process, timeLimit);
  using _ = lifeline && new rare.lifelineWatch.LifelineWatch(lifeline, () => process.signalAll(SIG.KILL));
  const waiting = waitForProgram(started, terminal, forward);
  const ending = await (limit === undefined ? waiting : Promise.race([waiting, limit.failed]));
  const timedOut = limit?.over === true;
  // what was asked with it, and goes on
  if (timedOut) process.signalAll(SIG.KILL);
  if (atEnd !== undefined) {
    const memoryKills = difference(spentIn().memoryKills, before?.memoryKills);
    const times = { started: since, wallMs: monotonicMs() - clock };
    atEnd({
      container,
      about: { ...container.record, landlock },
      spent: { ...UNCOUNTED, memoryKills },
      ending,
      timedOut,
      ...times,
    });
  }
  if (!timedOut || timeLimit === undefined) return statusOfEnding(ending);
  if (!quiet) rare.timeLimit.tellTimeLimit(timeLimit.milliseconds);
  return rare.timeLimit.TIMED_OUT;
}

function difference(after: number | undefined, before: number | undefined): number | undefined {
  return after === undefined || before === undefined ? undefined : after - before;
}

function limitOn(process: ExecutedProcess, values: TimeLimitValues): TimeLimit {
  return new rare.timeLimit.TimeLimit(values, {
    ask: () => process.signalAll(SIG.TERM),
    kill: () => process.signalAll(SIG.KILL),
  });
}

/** Throws why the process could not become its program that this command had made before it was started again, with this line. */
function sayWhatFailed(line: string, { root, id, pidFile }: ExecOptions): void {
  const told = toldExec(line);
  if (told === undefined) return;
  if (pidFile !== undefined) removeFile(pidFile);
  within(readContainer(root, id), (container) => {
    throw driverOf(container.record).execFailure(told, container);
  });
}

/** Does something with a container that lives. Whatever could not be done in one that was about to end, that is why. */
function within<T>(container: Container, action: (living: LivingContainer) => T): T {
  const { id } = container.record;
  try {
    using living = LivingContainer.open(container);
    if (living === undefined) throw notRunning(id, "stopped");
    return action(living);
  } catch (error) {
    throw isEnding(container) ? notRunning(id, "stopped") : error;
  }
}

interface Started {
  started: ExecutedProcess;
  /** The ABI of Landlock that keeps it in. */
  landlock: number | undefined;
  /** Ours, when nobody else has the master of its terminal. */
  terminal: Fd | undefined;
  /** Not for one that is detached. */
  forward: SignalForwarder | undefined;
}

function startBeside(container: LivingContainer, options: ExecOptions): Started {
  const { config, record, rootfs } = container;
  const process = execProcess(options.values, options.args, config.process, rootfs.path);
  driverOf(record).check(process);
  warnOfLost(options, process);
  const terminal = process.terminal === true;
  using given = connectConsoleSocket(terminal, options.consoleSocketPath, options.detach);
  const [ours, theirs] =
    terminal && given === undefined ? socketPair("socket for the terminal") : [undefined, undefined];
  using receiver = ours;
  using sender = theirs;
  const sized = receiver === undefined ? process : rare.foreground.withOurWindowSize(process);
  return startProcess(container, sized, options, { consoleSocket: given ?? sender, receiver });
}

function warnOfLost({ values }: ExecOptions, process: Process): void {
  const lost = lostCapabilities(values, process);
  if (lost.length === 0) return;
  const why =
    "only root, and what config.json has as inheritable, keeps capabilities when a program is executed";
  logWarning(
    `exec: --cap: user ${process.user.uid} gets ${lost.join(", ")} in its bounding set alone (${why})`,
  );
}

/** Whether this process is needed while the program runs. */
function isWatched({ timeLimit, lifeline, atEnd }: ExecOptions): boolean {
  return timeLimit !== undefined || lifeline !== undefined || atEnd !== undefined;
}

function startProcess(
  container: LivingContainer,
  process: Process,
  options: ExecOptions,
  { consoleSocket, receiver }: { consoleSocket: Fd | undefined; receiver: Fd | undefined },
): Started {
  const { detach, cgroups, preserveFds, timeLimit, lifeline } = options;
  const { record, rootfs } = container;
  const landlock = record.landlock === undefined ? undefined : landlockFor(process, record.landlock);
  const gathers = timeLimit !== undefined || lifeline !== undefined;
  const leaves = !detach && !isWatched(options) && !isDebugging();
  using undo = new UndoStack((error) => logWarning(error.oneLine));
  let forward: SignalForwarder | undefined;
  let terminal: Fd | undefined;
  // looked up from outside: what the container's root file system shows there is not trusted
  const homeOf = (uid: number) => homeIn(rootfs.path, uid);
  const started = driverOf(record).exec(
    container,
    { process, homeOf, landlock, cgroups, consoleSocket, preserveFds, gathers, leaves },
    (ready, mayLeave) => {
      announcePid(options, ready, "setns", undo);
      if (receiver !== undefined) terminal = rare.foreground.receiveTerminal(receiver);
      // before this nothing runs, and a signal that ends us ends it too
      if (mayLeave && leaves) return { signals: Object.values(FORWARDED), master: terminal };
      if (!detach) forward = new rare.foreground.SignalForwarder();
      return undefined;
    },
    undo,
  );
  undo.commit();
  logDebug(`${record.id}: process ${started.pid} runs ${process.args?.[0]}`);
  return { started, landlock, terminal, forward };
}

/** undefined for who has a right that Landlock would take away, as with `run`: to trace, or to mount. */
function landlockFor({ user, capabilities }: Process, abi: number): number | undefined {
  const rights = user.uid === 0 ? capabilities?.permitted : capabilities?.ambient;
  return rare.landlock.goesWithLandlock((rights ?? []).map((name) => name.toUpperCase())) ? abi : undefined;
}

/** A paused container is waited for outside: inside, the kernel holds whoever comes, and us with it, so that no signal is heard. */
async function runningContainer({ root, id, ignorePaused }: ExecOptions): Promise<Container> {
  for (;;) {
    const container = readContainer(root, id);
    const status = statusOf(container);
    if (status === "stopped" || status === "creating") throw notRunning(id, status);
    if (status !== "paused") return container;
    if (!ignorePaused) {
      throw new HakoError({
        code: "state",
        message: `cannot exec in a paused container "${id}"`,
        hint: `hako resume ${id}, or --ignore-paused to have it wait`,
      });
    }
    await Bun.sleep(PAUSED_LOOK_MS);
  }
}

function notRunning(id: ContainerId, status: string): HakoError {
  return new HakoError({
    code: "state",
    message: `cannot exec in a ${status} container "${id}": container not running`,
  });
}
