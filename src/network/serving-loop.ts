import { Fd } from "../linux/call/fd";
import { Changes } from "../linux/file/epoll";
import { hasErrno, linkText, listNames } from "../linux/file/file";
import { SmallPages, splitHugePages } from "../linux/process/small-pages";

/** What an epoll descriptor is called in procfs. */
const EPOLL = "anon_inode:[eventpoll]";
const OWN_DESCRIPTORS = "/proc/self/fd";
/** The longest wait for a descriptor, in milliseconds: so late may a timer of the engine's be. */
const LONGEST_MS = 100;
/** After how many waits the engine's heap is worth being swept in the next pause, some hundred connections; and when nothing has come for a second. */
const WORTH_SWEEPING = { inPause: 1000, atRest: 100 } as const;
const REST_MS = 1000;
/** Where the engine's descriptor is not known. */
const SHORT_MS = 5;

const LAST_TURNS = 3;
/** How long what is left to do then may take, in milliseconds. */
const LAST_MS = 5000;

/**
 * Serves descriptors on this thread, beside the engine's own loop: it sleeps in epoll_wait(2) of hako's, among whose descriptors is the
 * engine's epoll. What the engine waits for (signals, names that are looked up) wakes it as well, and is dealt with by a turn of the
 * engine's loop.
 */
export class ServingLoop implements Disposable {
  readonly changes: Changes;
  readonly #longest: number;
  /** Something has come that the engine's loop has to deal with. */
  #engineWaits = false;
  /** Waits since the engine's heap was swept. What has started this command is in there. */
  #waits: number = WORTH_SWEEPING.inPause;
  /** When something came last. */
  #cameAt = 0;
  #isSplit = false;

  constructor() {
    const engine = epollDescriptors();
    this.changes = new Changes();
    for (const number of engine)
      this.changes.watch(new Fd(number, "the engine's epoll"), () => {
        this.#engineWaits = true;
      });
    this.#longest = engine.length > 0 ? LONGEST_MS : SHORT_MS;
  }

  /** Something that is served has work for the engine's loop, which sees no descriptor of it. */
  readonly engineTurn = (): void => {
    this.#engineWaits = true;
  };

  /** Serves until this is settled, and then as long as there is something left to do, within reason. */
  async until<T>(over: Promise<T>, isBusy: () => boolean): Promise<T> {
    using _ = new SmallPages();
    // code of a command is interpreted (build.ts), but this one may pass on a million connections
    Bun.unsafe.setJITPolicy(1);
    let settled = false;
    const settle = () => {
      settled = true;
    };
    over.then(settle, settle);
    while (!settled) {
      await new Promise(setImmediate);
      if (!settled) this.#serve();
    }
    // what the program has called in its last moments, and what it has sent
    const deadline = performance.now() + LAST_MS;
    const isLeft = () => this.changes.isBehind || isBusy();
    for (let turn = 0; turn < LAST_TURNS || (isLeft() && performance.now() < deadline); turn++) {
      this.changes.wait(turn < LAST_TURNS ? 0 : this.#longest);
      await new Promise(setImmediate);
    }
    return await over;
  }

  /** Serves without a turn of the engine's loop, which costs more than a connection, until the engine has something to do; timers are late at most. */
  #serve(): void {
    this.#engineWaits = false;
    const until = performance.now() + this.#longest;
    let waits = 0;
    for (let left = this.#longest; left > 0 && !this.#engineWaits; left = until - performance.now()) {
      this.changes.wait(left);
      waits++;
    }
    if (waits === 1 && !this.#engineWaits) {
      this.#sweep();
      return;
    }
    this.#waits += waits;
    this.#cameAt = performance.now();
  }

  /** Gives memory back that is not needed any more, when there is nothing else to do. */
  #sweep(): void {
    const isAtRest = performance.now() - this.#cameAt >= REST_MS;
    if (this.#waits < WORTH_SWEEPING[isAtRest ? "atRest" : "inPause"]) return;
    // what came last may still be in use: it is swept once more
    this.#waits = isAtRest ? 0 : WORTH_SWEEPING.atRest;
    if (!this.#isSplit) splitHugePages();
    this.#isSplit = true;
    Bun.gc(true);
  }

  [Symbol.dispose](): void {
    this.changes[Symbol.dispose]();
  }
}

function epollDescriptors(): number[] {
  return listNames(OWN_DESCRIPTORS)
    .filter((name) => leadsTo(`${OWN_DESCRIPTORS}/${name}`, EPOLL))
    .map(Number);
}

function leadsTo(path: string, what: string): boolean {
  try {
    return linkText(path) === what;
  } catch (error) {
    // the directory's own descriptor is closed by now
    if (hasErrno(error, "ENOENT")) return false;
    throw error;
  }
}
