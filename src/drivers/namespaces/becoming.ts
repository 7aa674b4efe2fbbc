import { asHakoError, HakoError } from "../../base/errors";
import type { CgroupRecord } from "../../cgroup";
import type { Fd } from "../../linux/call/fd";
import { recvByte } from "../../linux/file/descriptor-passing";
import { readWaiting, writeAllWaiting } from "../../linux/file/stream";
import { hasListener, isListener, type SeccompFilter } from "../../linux/process/filter-steps";
import { aliveProcess, hasExecuted, processStatus, waitForWord } from "../../linux/process/process";
import { failedStep } from "../../linux/remote/failed-step";
import { processRoot } from "../../linux/remote/namespace-root";
import { forged, PATIENCE_MS, silence } from "../../linux/remote/remote-answers";
import type { SharedRange } from "../../linux/remote/shared-range";
import type { Config } from "../../oci/config";
import type { ContainerId } from "../../oci/id";
import type { State } from "../../oci/state";
import type { ContainerRecord, ProcessRecord } from "../../state/record";
import { STAGE_NAME } from "./birth/stage-name";
import { passListener } from "./filter-listener";

/** Loaded on first use. */
const rare = {
  get lastStepFailure() {
    return require("./program/last-step-failure") as typeof import("./program/last-step-failure");
  },
  get explainDeath() {
    return require("../../explain/death") as typeof import("../../explain/death");
  },
};

/** How long the first process may take to execute its program, in milliseconds: others that can get at it may keep it from that. */
const EXECUTION_MS = 60_000;

/** A container's first process, before it has executed its program. */
export interface FirstProcess {
  id: ContainerId;
  init: ProcessRecord;
  cgroup: CgroupRecord | undefined;
}

/** One that makes its last steps by itself. It closes its end of a socket when it executes its program, and when it ends. */
export interface Becoming extends FirstProcess {
  connection: Fd;
  /** Gives the listener of its filter away, if it has one; called by `awaitProgram`. */
  filter: SeccompFilter | undefined;
  config(): Config;
  state(): State;
}

/** Waits until a process has executed its program, or has failed to: `checkProgram` says which. */
export function awaitProgram(becoming: Becoming): void {
  const { filter } = becoming;
  orDied(becoming, () => {
    if (filter !== undefined && hasListener(filter)) takeListener(becoming);
    waitForClose(becoming);
  });
}

/** Throws why a process has not become its program. `rootfs` is where that is, should the process have ended. */
export function checkProgram(becoming: Becoming, range: SharedRange, rootfs: Fd | undefined): void {
  const { init } = becoming;
  const failed = failedStep(range);
  if (failed !== undefined) throw rare.lastStepFailure.lastStepFailure(failed, becoming.config(), rootfs);
  if (!hasExecuted(init.pid, init.startTime, STAGE_NAME)) throw firstProcessDied(becoming);
}

/** The root directory of a process; undefined if it has just ended, or may not be looked at. */
export function rootOf({ pid }: ProcessRecord): Fd | undefined {
  try {
    return processRoot(pid);
  } catch {
    return undefined;
  }
}

/** Says of a connection that was lost that the process has died. */
export function orDied<T>(process: FirstProcess, action: () => T): T {
  try {
    return action();
  } catch (thrown) {
    const cause = asHakoError(thrown);
    if (cause.errno === "ECONNREFUSED" || cause.errno === "ECONNRESET") throw firstProcessDied(process);
    throw new HakoError({ code: cause.code, message: `start container "${process.id}"`, cause });
  }
}

/** Passes a filter's listener on; the process ends without one where a step before has failed. */
function takeListener(becoming: Becoming): void {
  const { init, connection } = becoming;
  waitForInit(becoming, connection, PATIENCE_MS);
  const { fd } = recvByte(connection);
  if (fd === undefined) return;
  using listener = fd;
  if (!isListener(listener)) throw forged("its filter's listener is something else");
  passListener(listener, becoming.config(), init.pid, becoming.state());
  writeAllWaiting(connection, new Uint8Array(1));
}

/** Waits for a word of the first process, or for its end. */
export function waitForInit(process: FirstProcess, connection: Fd, milliseconds: number): void {
  const { pid, startTime } = process.init;
  const until = performance.now() + milliseconds;
  if (waitForWord(connection, pid, startTime, until)) return;
  throw aliveProcess(pid, startTime) === undefined ? firstProcessDied(process) : silence();
}

function waitForClose(becoming: Becoming): void {
  const { connection } = becoming;
  const end = performance.now() + EXECUTION_MS;
  for (let left = EXECUTION_MS; left > 0; left = end - performance.now()) {
    waitForInit(becoming, connection, left);
    if (readWaiting(connection).length === 0) return;
  }
  throw silence();
}

/** The error of a container whose first process has died, or was never there. */
export function firstProcessDied({ id, init, cgroup }: Pick<ContainerRecord, keyof FirstProcess>): HakoError {
  const ending = init === undefined ? 0 : (processStatus(init.pid)?.ending ?? 0);
  const signal = (ending & 0x7f) === 0 ? undefined : ending & 0x7f;
  const message = `container "${id}": its first process died before it could execute the program`;
  return rare.explainDeath.deathError(message, { signal, cgroup });
}
