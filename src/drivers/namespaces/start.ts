import { asHakoError, during, HakoError } from "../../base/errors";
import { SIG } from "../../linux/call/constants";
import type { Fd } from "../../linux/call/fd";
import { recvByte } from "../../linux/file/descriptor-passing";
import { removeFile } from "../../linux/file/file";
import { readWaiting, writeAllWaiting } from "../../linux/file/stream";
import { unixConnect } from "../../linux/file/unix-socket";
import { hasListener, isListener, type SeccompFilter } from "../../linux/process/filter-steps";
import {
  aliveProcess,
  hasExecuted,
  isHalted,
  processStatus,
  signalProcess,
  waitForEnd,
  waitForWord,
} from "../../linux/process/process";
import { failedStep } from "../../linux/remote/failed-step";
import { processRoot } from "../../linux/remote/namespace-root";
import { forged, silence } from "../../linux/remote/remote-answers";
import { RemoteProcess } from "../../linux/remote/remote-process";
import { SharedRange } from "../../linux/remote/shared-range";
import {
  type Container,
  type ContainerRecord,
  type ProcessRecord,
  readStoredConfig,
  stateOf,
} from "../../state/record";
import { storedFilter } from "../../state/stored-filter";
import { STAGE_NAME } from "./birth/stage-name";
import { passListener } from "./filter-listener";
import { isWaiting, startSocketPath } from "./status";

/** Loaded on first use. */
const rare = {
  get lastStepFailure() {
    return require("./program/last-step-failure") as typeof import("./program/last-step-failure");
  },
  get startHooks() {
    return require("./program/start-hooks") as typeof import("./program/start-hooks");
  },
  get explainDeath() {
    return require("../../explain/death") as typeof import("../../explain/death");
  },
};

/** How long a killed process may take to its end. */
const END_MS = 10_000;
/** How long the first process may be silent, and may take to execute its program: others that can get at it may keep it from both. */
const [PATIENCE_MS, EXECUTION_MS] = [10_000, 60_000];

/**
 * Lets a created container execute its program, and comes back when it runs. One that fails leaves a container that waits as before, or
 * one that has stopped; never one that runs.
 */
export function startInNamespaces(container: Container): void {
  const { record } = container;
  const { init } = record;
  if (init === undefined) throw diedBefore(record);
  // where the program is, should the process have ended when that is asked
  using rootfs = rootOf(init);
  using connection = orDied(record, () => unixConnect(startSocketPath(container.root, record.id)));
  try {
    // it no longer waits, whatever becomes of us
    letGo({ ...container, init, connection }, rootfs);
  } catch (error) {
    // who looks at the container next finds it stopped
    if (signalProcess(init.pid, init.startTime, SIG.KILL)) waitForEnd(init.pid, init.startTime, END_MS);
    throw error;
  }
}

/** A first process that was connected to. */
interface Connected extends Container {
  init: ProcessRecord;
  connection: Fd;
}

/** Why a container has stopped that nobody has begun to start. */
export function deathBeforeStart(container: Container): HakoError | undefined {
  return isWaiting(container) ? diedBefore(container.record) : undefined;
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
function letGo(connected: Connected, rootfs: Fd | undefined): void {
  const { root, record, init, connection } = connected;
  const { id } = record;
  const { fd } = orDied(record, () => {
    waitForInit(connected, PATIENCE_MS);
    return recvByte(connection);
  });
  using file = fd;
  if (file === undefined) throw diedBefore(record);
  const range = during(`container "${id}": what its process hands over`, () => SharedRange.of(file));
  const filter = storedFilter(root, id);
  if ((record.hooks?.startContainer ?? []).length > 0) runHooksInside(connected, range, filter);
  if (filter !== undefined && hasListener(filter)) orDied(record, () => takeListener(connected));
  orDied(record, () => waitForClose(connected));
  removeFile(startSocketPath(root, id));
  const failed = failedStep(range);
  if (failed !== undefined) {
    throw rare.lastStepFailure.lastStepFailure(failed, readStoredConfig(root, id), rootfs);
  }
  if (!hasExecuted(init.pid, init.startTime, STAGE_NAME)) throw diedBefore(record);
}

function rootOf({ pid }: ProcessRecord): Fd | undefined {
  try {
    return processRoot(pid);
  } catch {
    return undefined; // it has just ended, or may not be looked at
  }
}

/** The container's process runs startContainer hooks and then goes on (runtime.md "Lifecycle", step 8). */
function runHooksInside(
  { root, record, init }: Connected,
  range: SharedRange,
  filter: SeccompFilter | undefined,
): void {
  const watch = {
    ended: () => aliveProcess(init.pid, init.startTime) === undefined,
    halted: () => isHalted(init.pid),
    death: () => diedBefore(record),
  };
  const remote = new RemoteProcess(range, watch, PATIENCE_MS);
  const config = readStoredConfig(root, record.id);
  rare.startHooks.runStartHooks(remote, config, { state: stateOf(record, "created"), filter });
  remote.become();
}

/** Passes a filter's listener on; the process ends without one where a step before has failed. */
function takeListener(connected: Connected): void {
  const { root, record, init, connection } = connected;
  waitForInit(connected, PATIENCE_MS);
  const { fd } = recvByte(connection);
  if (fd === undefined) return;
  using listener = fd;
  if (!isListener(listener)) throw forged("its filter's listener is something else");
  passListener(listener, readStoredConfig(root, record.id), init.pid, stateOf(record, "created"));
  writeAllWaiting(connection, new Uint8Array(1));
}

/** Waits for a word of the first process, or for its end. */
function waitForInit({ record, init, connection }: Connected, milliseconds: number): void {
  const until = performance.now() + milliseconds;
  if (waitForWord(connection, init.pid, init.startTime, until)) return;
  throw aliveProcess(init.pid, init.startTime) === undefined ? diedBefore(record) : silence();
}

/** The process closes its end when it executes its program, and when it ends. */
function waitForClose(connected: Connected): void {
  const end = performance.now() + EXECUTION_MS;
  for (let left = EXECUTION_MS; left > 0; left = end - performance.now()) {
    waitForInit(connected, left);
    if (readWaiting(connected.connection).length === 0) return;
  }
  throw silence();
}

function diedBefore({ id, init, cgroup }: ContainerRecord): HakoError {
  const ending = init === undefined ? 0 : (processStatus(init.pid)?.ending ?? 0);
  const signal = (ending & 0x7f) === 0 ? undefined : ending & 0x7f;
  const message = `container "${id}": its first process died before it could execute the program`;
  return rare.explainDeath.deathError(message, { signal, cgroup });
}
