import { type ErrnoName, errnoName, errnoNumber } from "../../base/errno";
import { MSG } from "../call/constants";
import type { Fd } from "../call/fd";
import { syscall, trySyscall } from "../call/syscall";
import { type Changes, EPOLL } from "../file/epoll";
import type { Pipe } from "../file/pipe";
import { isConnecting, prepareConnection, takeSocketError, trySocketOption } from "./inet-socket";
import { LARGE_PIPE, PipePool, splice } from "./pipe-pool";

const AGAIN = -errnoNumber("EAGAIN");
const SHUT_WR = 1;
/** How often bytes of one direction are moved before it is the others' turn. */
const MOVES_AT_ONCE = 16;
/** What is shorter is received and sent from here, in half the time that a pipe takes. An empty pipe takes so much at once, whatever its size (PIPE_BUF, pipe(7)). */
const message = new Uint8Array(4096);

/** How long who is called may leave a connection unanswered until it counts as one that will not be made, in milliseconds: the first packet is sent again after a second (RFC 6298 2). */
export const UNANSWERED_MS = 1000;

/** What became of two sockets that were connected with each other. */
export interface RelayEnd {
  /** How many bytes came from the first socket and went to the second one. */
  sent: number;
  /** How many came from the second one and went to the first. */
  received: number;
  /** Why both were reset; undefined if both have said that nothing more comes. */
  error: ErrnoName | undefined;
}

/** One of the two directions. */
class Flow {
  /** Held only while bytes are in it, or may be. */
  pipe: Pipe | undefined;
  held = 0;
  moved = 0;
  /** What came last was more than a message. */
  isLong = false;
  /** Nothing more comes. */
  ended = false;
  /** And the other side knows. */
  done = false;
  waits = false;

  constructor(
    readonly from: Fd,
    readonly to: Fd,
  ) {}
}

interface Connection {
  there: Flow;
  back: Flow;
  over: boolean;
  /** When it was begun (performance.now()). */
  begun: number;
  ended: (end: RelayEnd) => void;
}

/**
 * Connects sockets with each other, two and two: what one receives is sent by the other, as splice(2) moves it, without a copy in this process but of
 * short messages. Each direction ends for itself (shutdown(2)). An error of one socket resets the other one: a transfer that was cut off must not look like a whole one.
 */
export class SocketRelay implements Disposable {
  readonly #changes: Changes;
  readonly #pipes = new PipePool();
  readonly #connections = new Set<Connection>();

  /** It does what there is to do when `changes` waits. */
  constructor(changes: Changes) {
    this.#changes = changes;
  }

  /** How many connections have not ended. */
  get count(): number {
    return this.#connections.size;
  }

  /** Whether first sockets have said something that second ones don't have yet, or may still say something. */
  get isSending(): boolean {
    const asked = performance.now() - UNANSWERED_MS;
    for (const { there, begun } of this.#connections)
      if (!there.done && (begun > asked || !isConnecting(there.to))) return true;
    return false;
  }

  /**
   * Connects two sockets with each other that never wait (O_NONBLOCK), and owns them from then on. The first one was taken by a listener (`acceptAt`),
   * the second one is connected or about to be (`startConnection`). `ended` is called when both are closed; ECANCELED is one that was not connected when
   * this was disposed.
   */
  add(first: Fd, second: Fd, ended: (end: RelayEnd) => void): void {
    const connection: Connection = {
      there: new Flow(first, second),
      back: new Flow(second, first),
      over: false,
      begun: performance.now(),
      ended,
    };
    this.#connections.add(connection);
    // who has connected has mostly said something, and waits for the answer: the other side is to have it first
    this.#move(connection, connection.there);
    if (connection.over) return;
    try {
      prepareConnection(second);
      this.#changes.watch(first, (events) =>
        this.#changed(connection, connection.there, connection.back, events),
      );
      this.#changes.watch(second, (events) =>
        this.#changed(connection, connection.back, connection.there, events),
      );
    } catch (error) {
      this.#end(connection, "ECONNABORTED");
      throw error;
    }
  }

  /** Something has changed of the socket that `out` reads from and `into` writes to. */
  #changed(connection: Connection, out: Flow, into: Flow, events: number): void {
    if ((events & (EPOLL.IN | EPOLL.HUP | EPOLL.ERR)) !== 0) this.#move(connection, out);
    if ((events & EPOLL.OUT) !== 0 && into.held > 0) this.#move(connection, into);
    // what had come before the error has been passed on
    if ((events & EPOLL.ERR) !== 0 && !connection.over)
      this.#end(connection, errnoName(takeSocketError(out.from) || errnoNumber("ECONNRESET")));
  }

  /** Moves what can be moved without waiting. */
  #move(connection: Connection, flow: Flow): void {
    if (connection.over || flow.done || flow.waits) return;
    const pipe = flow.pipe ?? this.#pipes.take();
    if (pipe === undefined) {
      const again = this.#again(connection, flow);
      // later: each who waits gives its pipe on to the next, and thousands may wait
      this.#pipes.waitFor(() => this.#changes.later(again));
      return;
    }
    flow.pipe = pipe;
    const result = moveThrough(flow, pipe);
    if (result < 0) {
      this.#end(connection, errnoName(-result));
      return;
    }
    if (flow.held === 0) {
      flow.pipe = undefined;
      this.#pipes.give(pipe, true);
    }
    if (result > 0) this.#changes.later(this.#again(connection, flow));
    else if (flow.ended && flow.held === 0) this.#finish(connection, flow);
  }

  /** Has a direction wait until what this returns is called. */
  #again(connection: Connection, flow: Flow): () => void {
    flow.waits = true;
    return () => {
      flow.waits = false;
      if (connection.over) this.#pipes.passOn();
      else this.#move(connection, flow);
    };
  }

  /** All of a direction has been sent: the other side is told. */
  #finish(connection: Connection, flow: Flow): void {
    flow.done = true;
    // the end of both closes both, which tells it too
    if (connection.there.done && connection.back.done) this.#end(connection, undefined);
    else trySyscall("shutdown", flow.to.number, SHUT_WR);
  }

  #end(connection: Connection, error: ErrnoName | undefined): void {
    const { there, back } = connection;
    connection.over = true;
    this.#connections.delete(connection);
    for (const { pipe, held } of [there, back]) if (pipe !== undefined) this.#pipes.give(pipe, held === 0);
    for (const socket of [there.from, there.to]) {
      // no time to linger: close(2) then resets (socket(7))
      if (error !== undefined) trySocketOption(socket, "SO_LINGER", 1, 0);
      this.#changes.close(socket);
    }
    connection.ended({ sent: there.moved, received: back.moved, error });
  }

  /** Resets the connections that have not ended. */
  [Symbol.dispose](): void {
    for (const connection of this.#connections)
      this.#end(connection, isConnecting(connection.there.to) ? "ECANCELED" : "ECONNABORTED");
    this.#pipes[Symbol.dispose]();
  }
}

/** Moves bytes of a direction: 0 when it would have to wait or has ended, 1 when there may be more, or -errno. What has to wait is in its pipe. */
function moveThrough(flow: Flow, pipe: Pipe): number {
  for (let move = 0; move < MOVES_AT_ONCE; move++) {
    const moved = flow.isLong || flow.held > 0 ? moveSpliced(flow, pipe) : moveMessage(flow, pipe);
    if (moved <= 0) return moved;
  }
  return 1;
}

/** Receives what has come, and sends it, once; what it returns is as of `moveThrough`. */
function moveMessage(flow: Flow, pipe: Pipe): number {
  if (flow.ended) return 0;
  const came = trySyscall("read", flow.from.number, message, message.length);
  if (came <= 0) {
    flow.ended = came === 0;
    return came === AGAIN ? 0 : came;
  }
  const went = trySyscall("sendto", flow.to.number, message, came, MSG.NOSIGNAL, null, 0);
  if (went < 0 && went !== AGAIN) return went;
  const sent = Math.max(0, went);
  flow.moved += sent;
  flow.held = came - sent;
  if (flow.held > 0) syscall("write", pipe.write.number, message.subarray(sent, came), flow.held);
  flow.isLong = came === message.length;
  return 1;
}

/** The same by splice(2). */
function moveSpliced(flow: Flow, pipe: Pipe): number {
  let progress = false;
  if (!flow.ended) {
    const came = splice(flow.from, pipe.write, LARGE_PIPE);
    if (came < 0 && came !== AGAIN) return came;
    if (came === 0) flow.ended = true;
    else if (came > 0) {
      flow.held += came;
      flow.isLong = came >= message.length;
      progress = true;
    }
  }
  if (flow.held > 0) {
    const went = splice(pipe.read, flow.to, flow.held);
    if (went < 0 && went !== AGAIN) return went;
    if (went > 0) {
      flow.held -= went;
      flow.moved += went;
      progress = true;
    }
  }
  return progress ? 1 : 0;
}
