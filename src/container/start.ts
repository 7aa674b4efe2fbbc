import { asHakoError, HakoError } from "../errors";
import { type ErrorMessage, errorFrom } from "../init/protocol";
import { STAGE_NAME } from "../init/stage-name";
import type { Fd } from "../linux/fd";
import { removeFile } from "../linux/file";
import { processStatus, signalProcess } from "../linux/process";
import { hasListener } from "../linux/seccomp";
import { readAll, recvByte, unixConnect, writeAll } from "../linux/socket";
import { logDebug } from "../log";
import { runHooks } from "./hooks";
import type { ContainerId } from "./id";
import { lockContainer } from "./lock";
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
}

/**
 * Lets a created container execute its program (runtime.md "Start"); comes back when it runs. A poststart hook that fails
 * stops the container, as the spec says since 1.3.
 */
export function startContainer({ root, id, openFiles }: StartOptions): void {
  const record = release(root, id);
  // by then a quick program may have ended; what the hook is told is what it is called after
  const state = stateOf(record, "running");
  orKill(record, () => runHooks("poststart", record.hooks, { state, cwd: record.bundle, openFiles }));
}

/** A start that fails leaves a container that waits as before, or one that has stopped; never one that runs. */
function orKill<T>({ init }: ContainerRecord, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (init !== undefined) signalProcess(init.pid, init.startTime, SIGKILL);
    throw error;
  }
}

function release(root: string, id: ContainerId): ContainerRecord {
  using lock = lockContainer(root, id);
  const record = readRecord(root, id);
  const status = lock === undefined ? "stopped" : statusOf(root, record);
  if (status !== "created") throw wrongState(id, status);
  using connection = orDied(id, () => unixConnect(startSocketPath(root, id)));
  // from here on it no longer waits, whatever becomes of us
  orKill(record, () => letGo(root, record, connection));
  logDebug(`${id}: started`);
  return record;
}

function orDied<T>(id: ContainerId, action: () => T): T {
  try {
    return action();
  } catch (thrown) {
    const cause = asHakoError(thrown);
    if (cause.errno === "ECONNREFUSED" || cause.errno === "ECONNRESET") throw diedBefore(id);
    throw new HakoError({ code: cause.code, message: `start container "${id}"`, cause });
  }
}

/** Waits until the container's first process is its program. */
function letGo(root: string, record: ContainerRecord, connection: Fd): void {
  const { id, init } = record;
  const answer = orDied(id, () => takeListener(root, record, connection) + readAll(connection).toString());
  removeFile(startSocketPath(root, id));
  const [, error = ""] = answer.split("accepted\n");
  if (error !== "") throw errorFrom(JSON.parse(error) as ErrorMessage);
  // a zombie keeps its name: one that still has ours never executed the program
  if (answer === "" || (init !== undefined && processStatus(init.pid)?.name === STAGE_NAME)) {
    throw diedBefore(id);
  }
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
  passListener(
    listener,
    readStoredConfig(root, record.id),
    record.init?.pid ?? 0,
    stateOf(record, "created"),
  );
  writeAll(connection, new Uint8Array(1));
  return text;
}

function wrongState(id: ContainerId, status: string): HakoError {
  const message =
    status === "stopped"
      ? `container "${id}": cannot start a container that has stopped`
      : `container "${id}": cannot start an already ${status} container`;
  return new HakoError({ code: "state", message });
}

function diedBefore(id: ContainerId): HakoError {
  return new HakoError({
    code: "state",
    message: `container "${id}": its first process died before it could execute the program`,
    hint: "a memory limit that is too low would do that",
  });
}
