import type { ErrnoName } from "../base/errno";
import type { Fd } from "../linux/call/fd";
import type { Changes } from "../linux/file/epoll";
import { hasErrno } from "../linux/file/file";
import { acceptAt, setSocketOption } from "../linux/network/inet-socket";
import { SocketRelay, UNANSWERED_MS } from "../linux/network/socket-relay";
import { getLimit } from "../linux/process/rlimit";
import { Dial, type Dialled, type DialledPlace } from "./dialer";

/** How many connections there are at once; a listener's queue takes the others. */
const MOST = 4096;
/** How many descriptors are kept for pipes, listeners, and flows of UDP, as far as there are any. */
const KEPT_DESCRIPTORS = 400;
/** How many are taken before it is the others' turn. */
const AT_ONCE = 64;

/** A connection on its way, or what one waits for. */
interface Passing extends Disposable {
  /** Whether something that was said may not have come to the other side, and may still come there soon. */
  readonly isSending: boolean;
}

/** Takes connections of listeners, and connects each with another socket. */
export class Connections implements Disposable {
  readonly #relay: SocketRelay;
  readonly #listeners = new Map<Fd, (socket: Fd) => void>();
  /** Those that have to be looked at again when a connection has ended. */
  readonly #waiting = new Set<Fd>();
  readonly #others = new Set<Passing>();
  #count = 0;
  /** Each has two descriptors. */
  readonly #most = Math.min(
    MOST,
    Math.max(1, Math.floor((Number(getLimit(0, "RLIMIT_NOFILE").soft) - KEPT_DESCRIPTORS) / 2)),
  );

  constructor(readonly changes: Changes) {
    this.#relay = new SocketRelay(changes);
  }

  /** Whether something that was said may not have come to the other side, and may still come there soon. */
  get isSending(): boolean {
    return this.#relay.isSending || [...this.#others].some(({ isSending }) => isSending);
  }

  /** Owns a listener; `taken` gets each connection, and has to give it to `connect` or `refuse`, or to say `left` at its end. */
  listen(listener: Fd, taken: (socket: Fd) => void): void {
    this.#listeners.set(listener, taken);
    this.changes.watch(listener, () => this.#take(listener));
  }

  /** Connects a socket that was taken with one that was dialled. */
  connect(
    taken: Fd,
    other: Fd,
    ended: (sent: number, received: number, error: ErrnoName | undefined) => void,
  ): void {
    this.#relay.add(taken, other, ({ sent, received, error }) => {
      ended(sent, received, error);
      this.left();
    });
  }

  /** A connection that was taken waits for something: `cancel` is called where this goes first. What is returned ends the wait, and says whether it was one. */
  waitFor(cancel: () => void): () => boolean {
    const end = performance.now() + UNANSWERED_MS;
    const over = () => this.#others.delete(wait);
    const wait: Passing = {
      get isSending() {
        return performance.now() < end;
      },
      [Symbol.dispose]: () => {
        if (over()) cancel();
      },
    };
    this.#others.add(wait);
    return over;
  }

  /** Dials for a connection that was taken; `done` gets what became of it, at the latest when this goes. */
  dial(place: DialledPlace, done: (dialled: Dialled) => void): void {
    const over = this.waitFor(() => dial[Symbol.dispose]());
    const dial = new Dial(this.changes, place, (dialled) => {
      over();
      done(dialled);
    });
  }

  /** The same by another relay, which calls `ended` later, when both are closed. */
  relayBy(begin: (ended: () => void) => Passing): void {
    const relay = begin(() => {
      this.#others.delete(relay);
      this.left();
    });
    this.#others.add(relay);
  }

  /** Ends a connection that was taken as one that nobody answers. */
  refuse(socket: Fd): void {
    // no time to linger: close(2) then resets (socket(7))
    setSocketOption(socket, "SO_LINGER", 1, 0);
    socket.close();
    this.left();
  }

  /** A connection that was taken has ended elsewhere. */
  left(): void {
    this.#count--;
    if (this.#waiting.size === 0) return;
    const [first] = this.#waiting;
    if (first === undefined) return;
    this.#waiting.delete(first);
    this.changes.later(() => this.#take(first));
  }

  #take(listener: Fd): void {
    const taken = this.#listeners.get(listener);
    if (taken === undefined) return;
    for (let turn = 0; turn < AT_ONCE; turn++) {
      const socket = this.#count < this.#most ? accepted(listener) : "no room";
      if (socket === undefined) return;
      if (socket === "no room") {
        this.#waiting.add(listener);
        return;
      }
      this.#count++;
      taken(socket);
    }
    this.changes.later(() => this.#take(listener));
  }

  [Symbol.dispose](): void {
    for (const listener of this.#listeners.keys()) {
      // at once: others may be about to listen there
      this.changes.forget(listener);
      listener.close();
    }
    this.#listeners.clear();
    this.#waiting.clear();
    for (const other of [...this.#others]) other[Symbol.dispose]();
    this.#relay[Symbol.dispose]();
  }
}

/** A connection that waits at a listener. */
function accepted(listener: Fd): Fd | "no room" | undefined {
  try {
    return acceptAt(listener);
  } catch (error) {
    if (hasErrno(error, "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM")) return "no room";
    throw error;
  }
}
