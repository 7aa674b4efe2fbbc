import { HakoError } from "../../base/errors";
import type { Fd } from "../../linux/call/fd";
import { socketPair } from "../../linux/file/unix-socket";
import { becomeSubreaper } from "../../linux/process/process";
import { deleteContainer } from "../delete";
import { connectConsoleSocket } from "../io/console-socket";
import {
  adoptWindowSize,
  receiveTerminal,
  SignalForwarder,
  statusOfEnding,
  waitForProgram,
} from "../io/foreground";
import { type RestoreOptions, restoreContainer } from "./restore";

export interface RunRestoredOptions extends Omit<RestoreOptions, "consoleSocket"> {
  consoleSocketPath: string | undefined;
  detach: boolean;
  subreaper: boolean;
}

/** Restores a container; in the foreground waits for its end too, and deletes it. Returns the exit status. */
export async function runRestored(options: RunRestoredOptions): Promise<number> {
  const { root, id, detach } = options;
  const terminal = options.bundle.config.process?.terminal === true;
  using given = connectConsoleSocket(terminal, options.consoleSocketPath, detach);
  const [ours, theirs] =
    terminal && given === undefined ? socketPair("socket for the terminal") : [undefined, undefined];
  using receiver = ours;
  using sender = theirs;
  if (!detach && options.subreaper) becomeSubreaper();
  const forward = new SignalForwarder();
  try {
    const { init } = restoreContainer({ ...options, consoleSocket: given ?? sender });
    if (detach || init === undefined) return 0;
    try {
      sender?.close();
      using master = receiver === undefined ? undefined : terminalOf(receiver);
      if (master !== undefined) adoptWindowSize(master);
      return statusOfEnding(await waitForProgram(init, master, forward));
    } finally {
      deleteContainer({ root, id, force: true });
    }
  } finally {
    forward.stop();
  }
}

/** The master of the restored container's terminal; undefined if no process had the terminal open when it was saved. */
function terminalOf(receiver: Fd): Fd | undefined {
  try {
    return receiveTerminal(receiver);
  } catch (error) {
    if (error instanceof HakoError) return undefined;
    throw error;
  }
}
