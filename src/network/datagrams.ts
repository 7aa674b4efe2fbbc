import { asHakoError } from "../base/errors";
import { prepared } from "../base/undo";
import type { Fd } from "../linux/call/fd";
import type { Changes } from "../linux/file/epoll";
import { type Datagram, receiveConnected, receiveDatagram, sendConnected } from "../linux/network/datagram";
import { type InetAddress, type InetEndpoint, inetEndpointText } from "../linux/network/inet-address";
import { connectTo, inetSocket } from "../linux/network/inet-socket";
import { UNANSWERED_MS } from "../linux/network/socket-relay";
import type { Attempts, Started, Stop } from "./attempts";
import type { AddressFinder } from "./outside-addresses";
import type { Destination } from "./rule-set";

/** After how many milliseconds without a datagram a flow is over (RFC 4787 4.3 wants two minutes at least). */
const IDLE_MS = 120_000;
/** How many flows there are at once; the one that was silent longest ends for a new one. */
const MOST = 1024;
/** How many datagrams are taken before it is the others' turn. */
const AT_ONCE = 64;

/** How many datagrams wait for a name to be looked up. */
const MOST_WAITING = 8;

/** Datagrams between one socket of a program and one destination. */
interface Flow {
  /** undefined of one that has been told as stopped. */
  attempt: Started | undefined;
  /** undefined before it is known where to, and where it leads nowhere. */
  outside: { socket: Fd; address: InetAddress } | undefined;
  /** What came before that. */
  waiting: Uint8Array[];
  over: boolean;
  sent: number;
  received: number;
  last: number;
}

/** Sends a datagram to a program from where the program has sent one to. */
export type AnswerDatagram = (bytes: Uint8Array, from: InetEndpoint, to: InetEndpoint) => void;

/** Passes datagrams on between programs and destinations: answers come from the address that was asked. */
export class Datagrams implements Disposable {
  /** The one that was silent longest is the first. */
  readonly #flows = new Map<string, Flow>();
  readonly #sweeper: Timer;

  constructor(
    private readonly changes: Changes,
    private readonly outside: AddressFinder,
    private readonly attempts: Attempts,
    private readonly answer: AnswerDatagram,
  ) {
    this.#sweeper = setInterval(() => changes.later(() => this.#sweep()), IDLE_MS / 4);
  }

  /** Serves a socket whose datagrams come with where they were sent to; `destinationOf` says what that is, undefined of what was answered already. */
  serve(socket: Fd, destinationOf: (datagram: Datagram) => Destination | undefined): void {
    const take = () => {
      for (let turn = 0; turn < AT_ONCE; turn++) {
        const datagram = receiveDatagram(socket);
        if (datagram === undefined) return;
        const destination = destinationOf(datagram);
        if (destination !== undefined) this.pass(datagram, destination);
      }
      this.changes.later(take);
    };
    this.changes.watch(socket, take);
  }

  /** Whether something was sent whose destination is not known yet, and may be soon. */
  get isSending(): boolean {
    const asked = performance.now() - UNANSWERED_MS;
    return this.#flows
      .values()
      .some(({ attempt, outside, last }) => attempt !== undefined && outside === undefined && last > asked);
  }

  /** Passes a datagram on to a destination, and its answers back. */
  pass(datagram: Datagram, destination: Destination): void {
    const key = `${inetEndpointText(datagram.from)} ${inetEndpointText(datagram.to)}`;
    const known = this.#flows.get(key);
    const flow = known ?? this.#begin(key, datagram, destination);
    if (known !== undefined) {
      this.#flows.delete(key);
      this.#flows.set(key, known);
    }
    flow.last = performance.now();
    if (flow.outside !== undefined) send(flow, flow.outside.socket, datagram.bytes);
    else if (flow.waiting.length < MOST_WAITING) flow.waiting.push(datagram.bytes);
  }

  #begin(key: string, { from, to }: Datagram, destination: Destination): Flow {
    const [oldest] = this.#flows;
    if (oldest !== undefined && this.#flows.size >= MOST) this.#end(...oldest);
    const flow: Flow = {
      attempt: this.attempts.begin(destination),
      outside: undefined,
      waiting: [],
      over: false,
      sent: 0,
      received: 0,
      last: 0,
    };
    this.#flows.set(key, flow);
    this.outside.find(destination, (found) => {
      if (flow.over) return;
      if (!("addresses" in found)) return stop(flow, found);
      const opened = connected(found.addresses, destination.port);
      if (opened === undefined) return stop(flow, { verdict: "failed", why: "ENETUNREACH" });
      flow.outside = opened;
      for (const bytes of flow.waiting.splice(0)) send(flow, opened.socket, bytes);
      const answers = () => {
        for (let turn = 0; turn < AT_ONCE && !flow.over; turn++) {
          const answer = receiveConnected(opened.socket);
          if (answer === undefined) return;
          flow.received += answer.length;
          flow.last = performance.now();
          this.answer(answer, to, from);
        }
        if (!flow.over) this.changes.later(answers);
      };
      this.changes.watch(opened.socket, answers);
    });
    return flow;
  }

  #end(key: string, flow: Flow): void {
    this.#flows.delete(key);
    flow.over = true;
    if (flow.outside === undefined) {
      stop(flow, { verdict: "failed", why: "ECANCELED" });
      return;
    }
    const { socket, address } = flow.outside;
    this.changes.forget(socket);
    socket.close();
    flow.attempt?.ended(address, flow.sent, flow.received);
  }

  #sweep(): void {
    const before = performance.now() - IDLE_MS;
    for (const [key, flow] of this.#flows) if (flow.last < before) this.#end(key, flow);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#sweeper);
    for (const [key, flow] of this.#flows) this.#end(key, flow);
  }
}

/** Nothing is reached, which is told once. */
function stop(flow: Flow, why: Stop): void {
  flow.attempt?.stopped(why);
  flow.attempt = undefined;
}

function send(flow: Flow, socket: Fd, bytes: Uint8Array): void {
  sendConnected(socket, bytes);
  flow.sent += bytes.length;
}

/** A socket that is connected with the first of several addresses that there is a way to. */
function connected(addresses: readonly InetAddress[], port: number): Flow["outside"] {
  for (const address of addresses)
    try {
      const socket = prepared(inetSocket({ address, port }, "datagram"), (made) =>
        connectTo(made, { address, port }),
      );
      return { socket, address };
    } catch (error) {
      if (asHakoError(error).errno === undefined) throw error;
    }
  return undefined;
}
