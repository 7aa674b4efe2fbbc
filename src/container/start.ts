import { HakoError } from "../base/errors";
import { UndoStack } from "../base/undo";
import { driverOf } from "../drivers";
import type { ContainerId } from "../oci/id";
import { logDebug, logWarning } from "../output/log";
import { lockContainer } from "../state/lock";
import { type Container, readContainer } from "../state/record";
import type { NotifyRelay } from "./io/notify";
import { runPoststartHooks } from "./poststart";
import { statusOf } from "./status";

/** Loaded on first use. */
const rare = {
  /** Loaded for the few who ask. */
  get notify() {
    return require("./io/notify") as typeof import("./io/notify");
  },
};

const WRONG_STATES: Readonly<Record<string, string>> = {
  stopped: "a container that has stopped",
  // created or running: a frozen process gives no answer
  paused: "a paused container",
};

export interface StartOptions {
  root: string;
  id: ContainerId;
  /** The caller's $NOTIFY_SOCKET. */
  notifySocket: string | undefined;
}

/** Lets a created container execute its program; comes back when it runs, and says that it is ready if somebody asks. */
export function startAndNotify(options: StartOptions): void {
  using relay = startContainer(options);
  relay?.wait();
}

/**
 * Lets a created container execute its program (runtime.md "Start"); comes back when it runs. Messages of a program that says when it
 * is ready wait in the result.
 */
export function startContainer(options: StartOptions): NotifyRelay | undefined {
  using undo = new UndoStack((error) => logWarning(error.oneLine));
  const { container, relay } = release(options, undo);
  runPoststartHooks(container);
  undo.commit();
  return relay;
}

interface Started {
  container: Container;
  relay: NotifyRelay | undefined;
}

function release({ root, id, notifySocket }: StartOptions, undo: UndoStack): Started {
  using lock = lockContainer(root, id);
  const container = readContainer(root, id);
  const driver = driverOf(container.record);
  const status = lock === undefined ? "stopped" : statusOf(container);
  if (status === "stopped" && lock !== undefined) {
    const death = driver.deathBeforeStart(container);
    if (death !== undefined) throw death;
  }
  if (status !== "created") throw wrongState(id, status);
  const relay = notifySocket === undefined ? undefined : rare.notify.relayOf(container, notifySocket);
  if (relay !== undefined) undo.defer("its notify socket", () => relay[Symbol.dispose]());
  driver.start(container);
  logDebug(`${id}: started`);
  return { container, relay };
}

function wrongState(id: ContainerId, status: string): HakoError {
  const why = WRONG_STATES[status] ?? `an already ${status} container`;
  const hint = status === "paused" ? `hako resume ${id}` : undefined;
  return new HakoError({ code: "state", message: `container "${id}": cannot start ${why}`, hint });
}
