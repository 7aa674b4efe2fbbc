import { asHakoError, HakoError } from "../errors";
import { type ErrorMessage, errorFrom } from "../init/error-message";
import { ACCEPTED, STAGE_NAME } from "../init/stage-name";
import { concatenated, textOf } from "../linux/bytes";
import type { Fd } from "../linux/fd";
import { exists, removeFile } from "../linux/file";
import { hasExecuted, processStatus, signalProcess, waitForEnd, waitForWord } from "../linux/process";
import { hasListener } from "../linux/seccomp";
import { readSome, recvByte, unixConnect, writeAll } from "../linux/socket";
import { hasFailedStep } from "../linux/steps";
import { logDebug, logWarning } from "../log";
import { UndoStack } from "../undo";
import { runHooks } from "./hooks";
import type { ContainerId } from "./id";
import { lockContainer } from "./lock";
import type { NotifyRelay } from "./notify";
import {
  type ContainerRecord,
  readRecord,
  readStoredConfig,
  startSocketPath,
  stateOf,
  statusOf,
} from "./record";
import { passListener, storedFilter } from "./seccomp";

const SIGKILL = 9;
/** How long a killed process may take to its end. */
const END_MS = 10_000;
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
  const { record, relay } = release(root, id, notifySocket, undo);
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
function notify(): typeof import("./notify") {
  return require("./notify");
}

interface Started {
  record: ContainerRecord;
  relay: NotifyRelay | undefined;
}

function release(root: string, id: ContainerId, notifySocket: string | undefined, undo: UndoStack): Started {
  using lock = lockContainer(root, id);
  const record = readRecord(root, id);
  const status = lock === undefined ? "stopped" : statusOf(root, record);
  // nobody has connected to it, so it never went on
  if (status === "stopped" && lock !== undefined && exists(startSocketPath(root, id)))
    throw diedBefore(record);
  if (status !== "created") throw wrongState(id, status);
  const relay = notifySocket === undefined ? undefined : notify().relayOf(root, record, notifySocket);
  if (relay !== undefined) undo.defer("its notify socket", () => relay[Symbol.dispose]());
  using connection = orDied(record, () => unixConnect(startSocketPath(root, id)));
  // from here on it no longer waits, whatever becomes of us
  orKill(record, () => letGo(root, record, connection));
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
function letGo(root: string, record: ContainerRecord, connection: Fd): void {
  const { id, init } = record;
  const said = orDied(record, () => takeDescriptors(root, record, connection));
  using table = said.table;
  const text = said.text + orDied(record, () => readToEnd(record, connection));
  removeFile(startSocketPath(root, id));
  const [, error = ""] = text.split(ACCEPTED);
  if (error !== "") throw errorFrom(JSON.parse(error) as ErrorMessage);
  const failed = table !== undefined && hasFailedStep(table);
  const executed = init === undefined || hasExecuted(init.pid, init.startTime, STAGE_NAME);
  if (text === "" || failed || !executed) throw diedBefore(record);
}

interface Said {
  text: string;
  /** Of the last system calls of a program with a filter. */
  table?: Fd;
}

/** With a filter "accepted" is followed by the table of the last system calls, and by the filter's listener; or by an error. */
function takeDescriptors(root: string, record: ContainerRecord, connection: Fd): Said {
  const filter = storedFilter(root, record.id);
  if (filter === undefined) return { text: "" };
  let text = "";
  while (text !== ACCEPTED) {
    const part = readSome(connection, ACCEPTED.length - text.length);
    if (part.length === 0) return { text };
    text += textOf(part);
  }
  const { byte, fd: table } = recvByte(connection);
  if (byte === undefined) return { text };
  if (table === undefined) return { text: text + String.fromCharCode(byte) };
  try {
    return hasListener(filter)
      ? { text: text + takeListener(root, record, connection), table }
      : { text, table };
  } catch (error) {
    table.close();
    throw error;
  }
}

/** Passes a filter's listener on; returns what came in its place. */
function takeListener(root: string, record: ContainerRecord, connection: Fd): string {
  const { byte, fd } = recvByte(connection);
  if (byte === undefined) return "";
  if (fd === undefined) return String.fromCharCode(byte);
  using listener = fd;
  passListener(
    listener,
    readStoredConfig(root, record.id),
    record.init?.pid ?? 0,
    stateOf(record, "created"),
  );
  writeAll(connection, new Uint8Array(1));
  return "";
}

function readToEnd({ init }: ContainerRecord, connection: Fd): string {
  const parts: Uint8Array[] = [];
  for (;;) {
    if (init !== undefined) waitForWord(connection, init.pid, init.startTime);
    const part = readSome(connection);
    if (part.length === 0) return textOf(concatenated(parts));
    parts.push(part);
  }
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
