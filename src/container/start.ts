import { asHakoError, during, HakoError } from "../base/errors";
import { UndoStack } from "../base/undo";
import { STAGE_NAME } from "../drivers/namespaces/birth/stage-name";
import type { StartHooks } from "../drivers/namespaces/program/start-hooks";
import { runHooks } from "../hooks/hooks";
import type { Fd } from "../linux/call/fd";
import { recvByte } from "../linux/file/descriptor-passing";
import { exists, removeFile } from "../linux/file/file";
import { readWaiting, writeAllWaiting } from "../linux/file/stream";
import { unixConnect } from "../linux/file/unix-socket";
import { hasListener, isListener } from "../linux/process/filter-steps";
import {
  aliveProcess,
  hasExecuted,
  isHalted,
  processStatus,
  signalProcess,
  waitForEnd,
  waitForWord,
} from "../linux/process/process";
import { failedStep } from "../linux/remote/failed-step";
import { processRoot } from "../linux/remote/namespace-root";
import { forged, silence } from "../linux/remote/remote-answers";
import { RemoteProcess } from "../linux/remote/remote-process";
import { SharedRange } from "../linux/remote/shared-range";
import type { Config } from "../oci/config";
import type { ContainerId } from "../oci/id";
import { logDebug, logWarning } from "../output/log";
import { lockContainer } from "../state/lock";
import {
  type ContainerRecord,
  readRecord,
  readStoredConfig,
  startSocketPath,
  stateOf,
  statusOf,
} from "../state/record";
import type { NotifyRelay } from "./io/notify";
import { passListener, storedFilter } from "./seccomp";

const SIGKILL = 9;
/** How long a killed process may take to its end. */
const END_MS = 10_000;
/** How long the first process may be silent, and may take to execute its program: others that can get at it may keep it from both. */
const [PATIENCE_MS, EXECUTION_MS] = [10_000, 60_000];
const WRONG_STATES: Readonly<Record<string, string>> = {
  stopped: "a container that has stopped",
  // created or running: a frozen process gives no answer
  paused: "a paused container",
};

export interface StartOptions {
  root: string;
  id: ContainerId;
  openFiles: number | undefined;
  /** The caller's $NOTIFY_SOCKET. */
  notifySocket: string | undefined;
}

/** Lets a created container execute its program; comes back when it runs, and says that it is ready if somebody asks. */
export function startAndNotify(options: StartOptions): void {
  using relay = startContainer(options);
  relay?.wait();
}

/**
 * Lets a created container execute its program (runtime.md "Start"); comes back when it runs. A poststart hook that fails
 * stops the container, as the spec says since 1.3. Messages of a program that says when it is ready wait in the result.
 */
export function startContainer({ root, id, openFiles, notifySocket }: StartOptions): NotifyRelay | undefined {
  using undo = new UndoStack((error) => logWarning(error.oneLine));
  const { record, relay } = release({ root, id, openFiles, notifySocket }, undo);
  // by then a quick program may have ended; what the hook is told is what it is called after
  const state = stateOf(record, "running");
  orKill(record, () => runHooks("poststart", record.hooks, { state, cwd: record.bundle, openFiles }));
  undo.commit();
  return relay;
}

/** A start that fails leaves a container that waits as before, or one that has stopped; never one that runs. */
function orKill<T>({ init }: ContainerRecord, action: () => T): T {
  try {
    return action();
  } catch (error) {
    // who looks at the container next finds it stopped
    if (init !== undefined && signalProcess(init.pid, init.startTime, SIGKILL))
      waitForEnd(init.pid, init.startTime, END_MS);
    throw error;
  }
}

/** Loaded for the few who ask. */
function notify(): typeof import("./io/notify") {
  return require("./io/notify");
}

interface Started {
  record: ContainerRecord;
  relay: NotifyRelay | undefined;
}

function release({ root, id, openFiles, notifySocket }: StartOptions, undo: UndoStack): Started {
  using lock = lockContainer(root, id);
  const record = readRecord(root, id);
  const status = lock === undefined ? "stopped" : statusOf(root, record);
  // nobody has connected to it, so it never went on
  if (status === "stopped" && lock !== undefined && exists(startSocketPath(root, id)))
    throw diedBefore(record);
  if (status !== "created") throw wrongState(id, status);
  const relay = notifySocket === undefined ? undefined : notify().relayOf(root, record, notifySocket);
  if (relay !== undefined) undo.defer("its notify socket", () => relay[Symbol.dispose]());
  // where the program is, should the process have ended when that is asked
  using rootfs = rootOf(record);
  using connection = orDied(record, () => unixConnect(startSocketPath(root, id)));
  // from here on it no longer waits, whatever becomes of us
  orKill(record, () => letGo({ root, openFiles }, record, connection, rootfs));
  logDebug(`${id}: started`);
  return { record, relay };
}

function orDied<T>(record: ContainerRecord, action: () => T): T {
  try {
    return action();
  } catch (thrown) {
    const cause = asHakoError(thrown);
    if (cause.errno === "ECONNREFUSED" || cause.errno === "ECONNRESET") throw diedBefore(record);
    throw new HakoError({ code: cause.code, message: `start container "${record.id}"`, cause });
  }
}

/** Waits until the container's first process is its program. */
function letGo(
  { root, openFiles }: Pick<StartOptions, "root" | "openFiles">,
  record: ContainerRecord,
  connection: Fd,
  rootfs: Fd | undefined,
): void {
  const { id, init } = record;
  const { fd } = orDied(record, () => {
    waitForInit(record, connection, PATIENCE_MS);
    return recvByte(connection);
  });
  using file = fd;
  if (file === undefined) throw diedBefore(record);
  const range = during(`container "${id}": what its process hands over`, () => SharedRange.of(file));
  const filter = storedFilter(root, id);
  if ((record.hooks?.startContainer ?? []).length > 0)
    runHooksInside(record, range, { config: readStoredConfig(root, id), filter, openFiles });
  if (filter !== undefined && hasListener(filter))
    orDied(record, () => takeListener(root, record, connection));
  orDied(record, () => waitForClose(record, connection));
  removeFile(startSocketPath(root, id));
  const failed = failedStep(range);
  if (failed !== undefined) {
    const { endFailure } =
      require("../drivers/namespaces/program/end-failure") as typeof import("../drivers/namespaces/program/end-failure");
    throw endFailure(failed, readStoredConfig(root, id), rootfs);
  }
  if (init !== undefined && !hasExecuted(init.pid, init.startTime, STAGE_NAME)) throw diedBefore(record);
}

function rootOf({ init }: ContainerRecord): Fd | undefined {
  try {
    return init === undefined ? undefined : processRoot(init.pid);
  } catch {
    return undefined; // it has just ended, or may not be looked at
  }
}

/** The container's process runs startContainer hooks and then goes on (runtime.md "Lifecycle", step 8). */
function runHooksInside(
  record: ContainerRecord,
  range: SharedRange,
  { config, filter, openFiles }: { config: Config } & Omit<StartHooks, "state">,
): void {
  const { runStartHooks } =
    require("../drivers/namespaces/program/start-hooks") as typeof import("../drivers/namespaces/program/start-hooks");
  const { init } = record;
  const watch = {
    ended: () => init === undefined || aliveProcess(init.pid, init.startTime) === undefined,
    halted: () => init === undefined || isHalted(init.pid),
    death: () => diedBefore(record),
  };
  const remote = new RemoteProcess(range, watch, PATIENCE_MS);
  runStartHooks(remote, config, { state: stateOf(record, "created"), filter, openFiles });
  remote.become();
}

/** Passes a filter's listener on; the process ends without one where a step before has failed. */
function takeListener(root: string, record: ContainerRecord, connection: Fd): void {
  waitForInit(record, connection, PATIENCE_MS);
  const { fd } = recvByte(connection);
  if (fd === undefined) return;
  using listener = fd;
  if (!isListener(listener)) throw forged("its filter's listener is something else");
  passListener(
    listener,
    readStoredConfig(root, record.id),
    record.init?.pid ?? 0,
    stateOf(record, "created"),
  );
  writeAllWaiting(connection, new Uint8Array(1));
}

/** Waits for a word of the first process, or for its end. */
function waitForInit(record: ContainerRecord, connection: Fd, milliseconds: number): void {
  const { init } = record;
  const until = performance.now() + milliseconds;
  if (init === undefined || waitForWord(connection, init.pid, init.startTime, until)) return;
  throw aliveProcess(init.pid, init.startTime) === undefined ? diedBefore(record) : silence();
}

/** The process closes its end when it executes its program, and when it ends. */
function waitForClose(record: ContainerRecord, connection: Fd): void {
  const end = performance.now() + EXECUTION_MS;
  for (let left = EXECUTION_MS; left > 0; left = end - performance.now()) {
    waitForInit(record, connection, left);
    if (readWaiting(connection).length === 0) return;
  }
  throw silence();
}

function wrongState(id: ContainerId, status: string): HakoError {
  const why = WRONG_STATES[status] ?? `an already ${status} container`;
  const hint = status === "paused" ? `hako resume ${id}` : undefined;
  return new HakoError({ code: "state", message: `container "${id}": cannot start ${why}`, hint });
}

function diedBefore({ id, init, cgroup }: ContainerRecord): HakoError {
  const { deathError } = require("../explain/death") as typeof import("../explain/death");
  const ending = init === undefined ? 0 : (processStatus(init.pid)?.ending ?? 0);
  const signal = (ending & 0x7f) === 0 ? undefined : ending & 0x7f;
  const message = `container "${id}": its first process died before it could execute the program`;
  return deathError(message, { signal, cgroup });
}
