import { during, type HakoError } from "../../base/errors";
import { SIG } from "../../linux/call/constants";
import { recvByte } from "../../linux/file/descriptor-passing";
import { removeFile } from "../../linux/file/file";
import { unixConnect } from "../../linux/file/unix-socket";
import type { SeccompFilter } from "../../linux/process/filter-steps";
import { aliveProcess, isHalted, signalProcess, waitForEnd } from "../../linux/process/process";
import { PATIENCE_MS } from "../../linux/remote/remote-answers";
import { SharedRange } from "../../linux/remote/shared-range";
import { type Container, readStoredConfig, stateOf } from "../../state/record";
import { storedFilter } from "../../state/stored-filter";
import {
  awaitProgram,
  type Becoming,
  checkProgram,
  firstProcessDied,
  orDied,
  rootOf,
  waitForInit,
} from "./becoming";
import { isWaiting, startSocketPath } from "./status";

/** Loaded on first use. */
const rare = {
  get remoteProcess() {
    return require("../../linux/remote/remote-process") as typeof import("../../linux/remote/remote-process");
  },
  get startHooks() {
    return require("./program/start-hooks") as typeof import("./program/start-hooks");
  },
};

/** How long a killed process may take to its end. */
const END_MS = 10_000;

/**
 * Lets a created container execute its program, and comes back when it runs. One that fails leaves a container that waits as before, or
 * one that has stopped; never one that runs.
 */
export function startInNamespaces(container: Container): void {
  const { root, record } = container;
  const { id, init, cgroup } = record;
  if (init === undefined) throw firstProcessDied(record);
  // where the program is, should the process have ended when that is asked
  using rootfs = rootOf(init);
  using connection = orDied({ id, init, cgroup }, () => unixConnect(startSocketPath(root, id)));
  const filter = storedFilter(root, id);
  const becoming: Becoming = {
    ...{ id, init, cgroup, connection, filter },
    config: () => readStoredConfig(root, id),
    state: () => stateOf(record, "created"),
  };
  try {
    // it no longer waits, whatever becomes of us
    const range = handedOver(becoming);
    if ((record.hooks?.startContainer ?? []).length > 0) runHooksInside(becoming, range, filter);
    awaitProgram(becoming);
    removeFile(startSocketPath(root, id));
    checkProgram(becoming, range, rootfs);
  } catch (error) {
    // who looks at the container next finds it stopped
    if (signalProcess(init.pid, init.startTime, SIG.KILL)) waitForEnd(init.pid, init.startTime, END_MS);
    throw error;
  }
}

/** Why a container has stopped that nobody has begun to start. */
export function deathBeforeStart(container: Container): HakoError | undefined {
  return isWaiting(container) ? firstProcessDied(container.record) : undefined;
}

/** The range in which a process has its last steps; it goes on when it has handed it over. */
function handedOver(becoming: Becoming): SharedRange {
  const { id, connection } = becoming;
  const { fd } = orDied(becoming, () => {
    waitForInit(becoming, connection, PATIENCE_MS);
    return recvByte(connection);
  });
  using file = fd;
  if (file === undefined) throw firstProcessDied(becoming);
  return during(`container "${id}": what its process hands over`, () => SharedRange.of(file));
}

/** The container's process runs startContainer hooks and then goes on (runtime.md "Lifecycle", step 8). */
function runHooksInside(becoming: Becoming, range: SharedRange, filter: SeccompFilter | undefined): void {
  const { init } = becoming;
  const watch = {
    ended: () => aliveProcess(init.pid, init.startTime) === undefined,
    halted: () => isHalted(init.pid),
    death: () => firstProcessDied(becoming),
  };
  const remote = new rare.remoteProcess.RemoteProcess(range, watch, PATIENCE_MS);
  rare.startHooks.runStartHooks(remote, becoming.config(), { state: becoming.state(), filter });
  remote.become();
}
