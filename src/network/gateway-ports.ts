import type { HakoError } from "../base/errors";
import { AF, SOCK } from "../linux/call/constants";
import { type Fd, FdList } from "../linux/call/fd";
import { askForDestinations, prepareSender, sendDatagram, senderSocket } from "../linux/network/datagram";
import type { InetEndpoint } from "../linux/network/inet-address";
import { bindTo, listenOn, setSocketOption } from "../linux/network/inet-socket";
import {
  catchAllPorts,
  explainedLack,
  makeTransparent,
  NETFILTER_SOCKET,
} from "../linux/network/transparent-proxy";
import type { Opened } from "../linux/remote/namespace-sockets";
import type { Gateway } from "./gateway";
import type { PortRange, Protocol } from "./rule";

/** The port of the sockets that all ports lead to. Nobody else is in the gateway. */
const ALL_PORTS_AT = 1;
/** How many ports have sockets of their own at most, where one can't have them all. */
const MOST_PORTS = 100;
const TYPES = { tcp: SOCK.STREAM, udp: SOCK.DGRAM } as const;

/** What is done with sockets that a container's calls come to, all of which somebody else owns from then on. */
export interface PortServer {
  tcp(listener: Fd): void;
  udp(socket: Fd): void;
}

/**
 * The sockets in a gateway that are called whatever port a program calls: one for all ports, so that what no rule allows is seen and told too. On a
 * kernel that can't lead all ports to one there is a socket for each port of the rules, and others answer as closed ones do.
 */
export class GatewayPorts implements Disposable {
  readonly #senders = new FdList();
  readonly #listening: Record<Protocol, Set<number>> = { tcp: new Set(), udp: new Set() };
  /** Why all ports can't lead to one. */
  readonly #lack: HakoError | undefined;

  constructor(
    private readonly gateway: Gateway,
    private readonly server: PortServer,
  ) {
    this.#lack = this.#catchAll();
    const ports = this.#lack === undefined ? [ALL_PORTS_AT] : [];
    const { families } = gateway;
    const sockets = this.#serve(ports, ports, families.map(senderSocket));
    for (const [index, sender] of sockets.entries()) {
      this.#senders.add(sender);
      prepareSender(sender, families[index] === AF.INET6);
    }
  }

  #catchAll(): HakoError | undefined {
    const { gateway } = this;
    try {
      using sockets = new FdList();
      for (const netfilter of gateway.open([NETFILTER_SOCKET])) {
        sockets.add(netfilter);
        for (const family of gateway.families) catchAllPorts(netfilter, family, ALL_PORTS_AT);
      }
      return undefined;
    } catch (error) {
      const lack = explainedLack(error);
      if (lack === undefined) throw error;
      return lack;
    }
  }

  /** Has ports served that are not yet; an error where they are too many for this kernel. */
  listen(ports: Readonly<Record<Protocol, readonly PortRange[]>>): void {
    if (this.#lack === undefined) return;
    const [tcp, udp] = [this.#missing("tcp", ports.tcp), this.#missing("udp", ports.udp)];
    this.#serve(tcp, udp);
  }

  /** The ports of ranges that nobody listens at. */
  #missing(protocol: Protocol, ranges: readonly PortRange[]): number[] {
    const known = this.#listening[protocol];
    const missing = new Set<number>();
    for (const { first, last } of ranges)
      for (let port = first; port <= last; port++) {
        if (!known.has(port)) missing.add(port);
        if (this.#lack !== undefined && known.size + missing.size > MOST_PORTS) throw this.#lack;
      }
    return [...missing];
  }

  /** Serves ports; opens other sockets on the way, since each way into the gateway is a process. */
  #serve(tcp: readonly number[], udp: readonly number[], others: readonly Opened[] = []): Fd[] {
    const { families } = this.gateway;
    const of = (protocol: Protocol, ports: readonly number[]) =>
      ports.flatMap((port) => families.map((family) => ({ protocol, port, family })));
    const places = [...of("tcp", tcp), ...of("udp", udp)];
    const flags = SOCK.NONBLOCK | SOCK.CLOEXEC;
    const wanted = places.map(({ protocol, family }): Opened => [family, TYPES[protocol] | flags, 0]);
    const sockets = this.gateway.open([...wanted, ...others]);
    for (const { protocol, port, family } of places) {
      const socket = sockets.shift();
      if (socket === undefined) throw new Error("a socket is missing");
      this.#open(socket, protocol, family, port);
      this.#listening[protocol].add(port);
    }
    return sockets;
  }

  #open(socket: Fd, protocol: Protocol, family: AF.INET | AF.INET6, port: number): void {
    const endpoint = { address: new Uint8Array(family === AF.INET ? 4 : 16), port };
    if (this.#lack === undefined) makeTransparent(socket, family);
    if (protocol === "tcp") {
      listenOn(socket, endpoint);
      this.server.tcp(socket);
    } else {
      if (family === AF.INET6) setSocketOption(socket, "IPV6_V6ONLY", 1);
      askForDestinations(socket, family === AF.INET6);
      bindTo(socket, endpoint);
      this.server.udp(socket);
    }
  }

  /** Sends a datagram to a program, from where the program has sent one to. */
  answer(bytes: Uint8Array, from: InetEndpoint, to: InetEndpoint): void {
    const family = from.address.length === 4 ? AF.INET : AF.INET6;
    const sender = this.#senders.all[this.gateway.families.indexOf(family)];
    if (sender !== undefined) sendDatagram(sender, bytes, from, to);
  }

  [Symbol.dispose](): void {
    this.#senders[Symbol.dispose]();
  }
}
