import { asHakoError, HakoError } from "../errors";
import { type ErrorMessage, errorFrom } from "../init/protocol";
import { STAGE_NAME } from "../init/stage-name";
import type { Fd } from "../linux/fd";
import { removeFile } from "../linux/file";
import { processStatus, signalProcess, waitForWord } from "../linux/process";
import { hasListener } from "../linux/seccomp";
import { readSome, recvByte, unixConnect, writeAll } from "../linux/socket";
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
  try {
    runHooks("poststart", record.hooks, { state, cwd: record.bundle, openFiles });
  } catch (error) {
    if (record.init !== undefined) signalProcess(record.init.pid, record.init.startTime, SIGKILL);
    throw error;
  }
  undo.commit();
  return relay;
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
  if (status !== "created") throw wrongState(id, status);
  const relay = notifySocket === undefined ? undefined : notify().relayOf(root, record, notifySocket);
  if (relay !== undefined) undo.defer("its notify socket", () => relay[Symbol.dispose]());
  const socket = startSocketPath(root, id);
  let answer: string;
  try {
    using connection = unixConnect(socket);
    const before = takeListener(root, record, connection);
    answer = before + readToEnd(record, connection);
  } catch (thrown) {
    const cause = asHakoError(thrown);
    if (cause.errno === "ECONNREFUSED" || cause.errno === "ECONNRESET") throw diedBefore(record);
    throw new HakoError({ code: cause.code, message: `start container "${id}"`, cause });
  }
  removeFile(socket);
  logDebug(`${id}: started`);
  const [, error = ""] = answer.split("accepted\n");
  if (error !== "") throw errorFrom(JSON.parse(error) as ErrorMessage);
  // a zombie keeps its name: one that still has ours never executed the program
  if (answer === "" || (record.init !== undefined && processStatus(record.init.pid)?.name === STAGE_NAME)) {
    throw diedBefore(record);
  }
  return { record, relay };
}

/** A filter's listener comes after "accepted"; returns what was read before it, or of an error in its place. */
function takeListener(root: string, record: ContainerRecord, connection: Fd): string {
  const filter = storedFilter(root, record.id);
  if (filter === undefined || !hasListener(filter)) return "";
  let text = "";
  while (!text.endsWith("\n")) {
    const { byte } = recvByte(connection);
    if (byte === undefined) return text;
    text += String.fromCharCode(byte);
  }
  const { byte, fd } = recvByte(connection);
  if (byte === undefined) return text;
  if (fd === undefined) return text + String.fromCharCode(byte);
  using listener = fd;
  try {
    const pid = record.init?.pid ?? 0;
    passListener(listener, readStoredConfig(root, record.id), pid, stateOf(record, "created"));
  } catch (error) {
    if (record.init !== undefined) signalProcess(record.init.pid, record.init.startTime, SIGKILL);
    throw error;
  }
  writeAll(connection, new Uint8Array(1));
  return text;
}

function readToEnd({ init }: ContainerRecord, connection: Fd): string {
  let text = "";
  for (;;) {
    if (init !== undefined) waitForWord(connection, init.pid, init.startTime);
    const part = readSome(connection);
    if (part.length === 0) return text;
    text += part.toString();
  }
}

function wrongState(id: ContainerId, status: string): HakoError {
  const message =
    status === "stopped"
      ? `container "${id}": cannot start a container that has stopped`
      : `container "${id}": cannot start an already ${status} container`;
  return new HakoError({ code: "state", message });
}

function diedBefore({ id, init, cgroup }: ContainerRecord): HakoError {
  const { explainEnd } = require("../explain/death") as typeof import("../explain/death");
  const ending = init === undefined ? 0 : (processStatus(init.pid)?.ending ?? 0);
  const signal = (ending & 0x7f) === 0 ? undefined : ending & 0x7f;
  const { why, hint } = explainEnd({ signal, cgroup });
  const message = `container "${id}": its first process died before it could execute the program`;
  return new HakoError({ code: "state", message: why === undefined ? message : `${message}: ${why}`, hint });
}
