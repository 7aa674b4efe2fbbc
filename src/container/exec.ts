import { HakoError } from "../base/errors";
import { UndoStack } from "../base/undo";
import { namespacesDriver } from "../drivers/namespaces";
import { EXEC_AGAIN } from "../drivers/namespaces/exec/exec-told";
import { checkLabels } from "../drivers/namespaces/program/labels";
import type { Fd } from "../linux/call/fd";
import { ownVariable } from "../linux/file/caller-environment";
import { removeFile } from "../linux/file/file";
import { socketPair } from "../linux/file/unix-socket";
import { hasListener, type SeccompFilter } from "../linux/process/filter-steps";
import { isExiting, openProcess } from "../linux/process/process";
import { namespaceRoot, processRoot } from "../linux/remote/namespace-root";
import type { Config, Process } from "../oci/config";
import { keepsGroups } from "../oci/groups";
import type { ContainerId } from "../oci/id";
import { hasNamespace } from "../oci/namespaces";
import { isDebugging, logDebug, logWarning } from "../output/log";
import {
  type ContainerRecord,
  type ProcessRecord,
  readRecord,
  readStoredConfig,
  stateOf,
  statusOf,
} from "../state/record";
import { type ExecValues, execProcess, lostCapabilities } from "./exec-process";
import { connectConsoleSocket } from "./io/console-socket";
import type { SignalForwarder } from "./io/foreground";
import { FORWARDED } from "./io/forwarded-signals";
import { announcePid, type PidReceivers } from "./io/pid-receivers";
import { passListener, storedFilter } from "./seccomp";
import { homeIn } from "./user";

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
  openFiles: number | undefined;
  /** As `--cgroup` names them, below the container's own. */
  cgroups: readonly string[];
  ignorePaused: boolean;
}

/**
 * Runs a process in a container beside its first one; its exit status, or 0 at once when it is detached. Where nothing has to be
 * done while it runs it doesn't come back: a small program takes this one's place.
 */
export async function execInContainer(options: ExecOptions): Promise<number> {
  const line = ownVariable(EXEC_AGAIN);
  if (line !== undefined) sayWhatFailed(line, options);
  const record = await runningRecord(options);
  const { started, terminal, forward } = startBeside(record, options);
  if (forward === undefined) return 0;
  try {
    using master = terminal;
    const { waitForProgram } = foreground();
    return await waitForProgram(started, master, forward);
  } finally {
    forward.stop();
  }
}

/** Throws why the process could not become its program that this command had made before it was started again, with this line. */
function sayWhatFailed(line: string, { root, id, pidFile }: ExecOptions): void {
  const { failureTold, toldExec } =
    require("../drivers/namespaces/exec/exec-failure") as typeof import("../drivers/namespaces/exec/exec-failure");
  const told = toldExec(line);
  if (told === undefined) return;
  if (pidFile !== undefined) removeFile(pidFile);
  const record = readRecord(root, id);
  try {
    const config = readStoredConfig(root, id);
    using first = new FirstProcess(record, hasNamespace(config, "mount"));
    const { rootfs, init } = first;
    failureTold(told, { pid: init.pid, rootfs, keepsGroups: keepsGroups(config) });
  } catch (error) {
    throw isEnding(record.init) ? notRunning(id, "stopped") : error;
  }
}

interface Started {
  started: ProcessRecord;
  /** Ours, when nobody else has the master of its terminal. */
  terminal: Fd | undefined;
  /** Not for one that is detached. */
  forward: SignalForwarder | undefined;
}

/** Nothing of the container's is held when it returns. */
function startBeside(record: ContainerRecord, options: ExecOptions): Started {
  const { root, id, detach } = options;
  try {
    const config = readStoredConfig(root, id);
    using first = new FirstProcess(record, hasNamespace(config, "mount"));
    const process = execProcess(options.values, options.args, config.process, first.rootfs.path);
    checkLabels(process);
    warnOfLost(options, process);
    const terminal = process.terminal === true;
    using given = connectConsoleSocket(terminal, options.consoleSocketPath, detach);
    const [ours, theirs] =
      terminal && given === undefined ? socketPair("socket for the terminal") : [undefined, undefined];
    using receiver = ours;
    using sender = theirs;
    const sized = receiver === undefined ? process : foreground().withOurWindowSize(process);
    const consoleSocket = given ?? sender;
    const specified = { ...config, process: sized };
    return startProcess(options, record, first, specified, { consoleSocket, receiver });
  } catch (error) {
    // whatever could not be done in a container that was about to end, this is why
    throw isEnding(record.init) ? notRunning(id, "stopped") : error;
  }
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

/** Loaded for programs that are watched from here. */
function foreground(): typeof import("./io/foreground") {
  return require("./io/foreground");
}

/** Whether this process is not needed while the program runs. The listener of a filter it hands over when it has let that go. */
function leavesTheProgram({ detach }: ExecOptions, filter: SeccompFilter | undefined): boolean {
  return !detach && !isDebugging() && !(filter !== undefined && hasListener(filter));
}

/** A container's first process while it lives: whose namespaces are joined, and whose file system names users. */
class FirstProcess implements Disposable {
  readonly init: ProcessRecord;
  readonly pidfd: Fd;
  readonly rootfs: Fd;

  constructor({ id, init }: ContainerRecord, hasMountNamespace: boolean) {
    const pidfd = init === undefined ? undefined : openProcess(init.pid, init.startTime);
    if (init === undefined || pidfd === undefined) throw notRunning(id, "stopped");
    this.init = init;
    this.pidfd = pidfd;
    try {
      this.rootfs = hasMountNamespace ? namespaceRoot(init.pid, pidfd) : processRoot(init.pid);
    } catch (error) {
      pidfd.close();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.pidfd.close();
    this.rootfs.close();
  }
}

function startProcess(
  options: ExecOptions,
  record: ContainerRecord,
  { init, pidfd, rootfs }: FirstProcess,
  config: Config & { process: Process },
  { consoleSocket, receiver }: { consoleSocket: Fd | undefined; receiver: Fd | undefined },
): Started {
  const { process, linux } = config;
  const { root, preserveFds, openFiles, cgroups, detach } = options;
  const { id, cgroup, noNewKeyring } = record;
  const filter = storedFilter(root, id);
  const leaves = leavesTheProgram(options, filter);
  using undo = new UndoStack((error) => logWarning(error.oneLine));
  let forward: SignalForwarder | undefined;
  let terminal: Fd | undefined;
  const started = namespacesDriver.exec(
    {
      id,
      init,
      pidfd,
      rootfs,
      cgroup,
      cgroups,
      process,
      // looked up from outside: what the container's root file system shows there is not trusted
      homeOf: (uid) => homeIn(rootfs.path, uid),
      linux,
      filter,
      listener: (fd) => passListener(fd, readStoredConfig(root, id), init.pid, stateOf(record, "running")),
      consoleSocket,
      noNewKeyring,
      keepsGroups: keepsGroups(config),
      preserveFds,
      openFiles,
    },
    (ready) => {
      announcePid(options, ready, "setns", undo);
      if (receiver !== undefined) terminal = foreground().receiveTerminal(receiver);
      // before this nothing runs, and a signal that ends us ends it too
      if (leaves) return { signals: Object.values(FORWARDED), master: terminal };
      if (!detach) forward = new (foreground().SignalForwarder)();
      return undefined;
    },
    undo,
  );
  undo.commit();
  logDebug(`${id}: process ${started.pid} runs ${process.args?.[0]}`);
  return { started, terminal, forward };
}

/** A paused container is waited for outside: inside, the kernel holds whoever comes, and us with it, so that no signal is heard. */
async function runningRecord({ root, id, ignorePaused }: ExecOptions): Promise<ContainerRecord> {
  for (;;) {
    const record = readRecord(root, id);
    const status = statusOf(root, record);
    if (status === "stopped" || status === "creating") throw notRunning(id, status);
    if (status !== "paused") return record;
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

function isEnding(init: ProcessRecord | undefined): boolean {
  return init === undefined || isExiting(init.pid, init.startTime);
}

function notRunning(id: ContainerId, status: string): HakoError {
  return new HakoError({
    code: "state",
    message: `cannot exec in a ${status} container "${id}": container not running`,
  });
}
