import { becomeSubreaper } from "../linux/process";
import { socketPair } from "../linux/socket";
import { consoleFor } from "./console-for";
import { type Bundle, type CreateOptions, createContainer } from "./create";
import { deleteContainer } from "./delete";
import { attend, ourTerminal, SignalForwarder, withOurWindowSize } from "./foreground";
import { killContainer } from "./kill";
import { startContainer } from "./start";

export interface RunOptions extends Omit<CreateOptions, "consoleSocket"> {
  consoleSocketPath: string | undefined;
  detach: boolean;
  /** The container stays, stopped, after its end. */
  keep: boolean;
  subreaper: boolean;
  /** A signal that the program has no handler for ends it, as it would outside of a container. */
  signalsEnd: boolean;
  /** Milliseconds after which the container is killed. */
  timeLimit: number | undefined;
}

const SIGKILL = 9;
/** As timeout(1). */
const TIMED_OUT = 124;

/** create, start, and in the foreground the program to its end; returns the exit status. */
export async function runContainer(options: RunOptions): Promise<number> {
  const { root, id, detach, keep, openFiles, warn } = options;
  const terminal = options.bundle.config.process?.terminal === true;
  using given = consoleFor(terminal, options.consoleSocketPath, detach);
  const [ours, theirs] =
    terminal && given === undefined ? socketPair("socket for the terminal") : [undefined, undefined];
  using receiver = ours;
  using sender = theirs;
  const bundle = sender === undefined ? options.bundle : sized(options.bundle);
  if (!detach && options.subreaper) becomeSubreaper();
  const forward = new SignalForwarder(options.signalsEnd);
  let deleted = keep;
  let started = false;
  try {
    const record = createContainer({ ...options, bundle, consoleSocket: given ?? sender });
    try {
      sender?.close();
      using master = receiver === undefined ? undefined : ourTerminal(receiver);
      using relay = startContainer({ root, id, openFiles, notifySocket: options.notifySocket });
      started = true;
      if (detach || record.init === undefined) {
        relay?.wait();
        deleted = true;
        return 0;
      }
      using _ = relay?.watch();
      using limit = new TimeLimit(options.timeLimit, () =>
        killContainer({ root, id, signal: SIGKILL, all: true, warn }),
      );
      const status = await attend(record.init, master, forward);
      return limit.over ? TIMED_OUT : status;
    } catch (error) {
      deleted = false;
      throw error;
    } finally {
      if (!deleted) deleteContainer({ root, id, force: true, alone: !started, openFiles, warn });
    }
  } finally {
    forward.stop();
  }
}

/** Does something once after some milliseconds, unless it is disposed of before. */
class TimeLimit implements Disposable {
  over = false;
  readonly #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(milliseconds: number | undefined, end: () => void) {
    if (milliseconds === undefined) return;
    this.#timer = setTimeout(() => {
      this.over = true;
      end();
    }, milliseconds);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/** A bundle whose terminal has the size of ours. */
function sized(bundle: Bundle): Bundle {
  const { process } = bundle.config;
  if (process === undefined) return bundle;
  return { ...bundle, config: { ...bundle.config, process: withOurWindowSize(process) } };
}
