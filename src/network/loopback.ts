import { prepared } from "../base/undo";
import type { LoopbackPorts } from "../drivers/interface/driver";
import { AF, SOCK } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { hasErrno } from "../linux/file/file";
import type { InetAddress, InetEndpoint } from "../linux/network/inet-address";
import { connectTo, listenOn } from "../linux/network/inet-socket";
import type { Opened } from "../linux/remote/namespace-sockets";
import type { Connections } from "./connections";
import { CONTAINER_LINK } from "./label-addresses";
import { LOOPBACK_V4, LOOPBACK_V6 } from "./port-words";

/** Both of the host, and of a container: what listens there listens at one of them, or at both. */
export const LOOPBACKS: readonly InetAddress[] = [LOOPBACK_V4, LOOPBACK_V6];

/** Opens sockets in a network namespace. */
interface SocketMaker {
  open(wanted: readonly Opened[]): Fd[];
}

/** TCP of a network namespace. */
export interface TcpPlace {
  listen(at: InetEndpoint): Fd;
  /** Begins a connection. */
  connect(to: InetEndpoint): Fd;
}

/** How ports of a container's loopback are reached. */
export interface Loopback {
  /** Has `taken` get each connection to a port. */
  listen(port: number, taken: (socket: Fd) => void): void;
  /** Where a port answers, one address after the other. */
  placeOf(port: number): { addresses: readonly InetAddress[]; port: number };
  /** Begins a connection with such a place. */
  connect(to: InetEndpoint): Fd;
}

/** The loopback of a network namespace. */
export class NamespaceLoopback implements Loopback {
  constructor(
    private readonly namespace: TcpPlace,
    private readonly connections: Connections,
  ) {}

  listen(port: number, taken: (socket: Fd) => void): void {
    for (const address of LOOPBACKS) {
      const listener = this.#listener(address, port);
      if (listener !== undefined) this.connections.listen(listener, taken);
    }
  }

  placeOf(port: number) {
    return { addresses: LOOPBACKS, port };
  }

  connect(to: InetEndpoint): Fd {
    return this.namespace.connect(to);
  }

  /** undefined where the container has no IPv6. */
  #listener(address: InetAddress, port: number): Fd | undefined {
    try {
      return this.namespace.listen({ address, port });
    } catch (error) {
      if (address.length === 16 && hasErrno(error, "EAFNOSUPPORT", "EADDRNOTAVAIL")) return undefined;
      throw error;
    }
  }
}

/**
 * Has the agent of a machine lead ports of its container's loopback to the gateway's own address, and listen at ports of the interface's for others of the
 * loopback: which ones, in the same order.
 */
export type LeadPorts = (ports: LoopbackPorts) => readonly number[];

/** Who is called at ports of the gateway's own address. */
interface GatewayServer {
  gateway: SocketMaker;
  serveOwn(port: number, taken: (socket: Fd) => void): void;
}

/** The loopback of a machine, which its own kernel alone reaches, by an agent that is there (agent/guest-ports.ts). */
export class MachineLoopback implements Loopback {
  readonly #gateway: TcpPlace;
  readonly #published: readonly number[];
  /** At which ports of the interface these are reached, in the same order. */
  readonly #places: readonly number[];

  constructor(
    private readonly network: GatewayServer,
    forwarded: readonly { inside: number }[],
    published: readonly { inside: number }[],
    leadPorts: LeadPorts,
  ) {
    this.#gateway = tcpOf(network.gateway);
    this.#published = published.map(({ inside }) => inside);
    this.#places = leadPorts({
      forwarded: forwarded.map(({ inside }) => inside),
      published: this.#published,
    });
    if (this.#places.length !== published.length)
      throw new Error(`the machine's agent leads to ${this.#places.length} ports of ${published.length}`);
  }

  listen(port: number, taken: (socket: Fd) => void): void {
    this.network.serveOwn(port, taken);
  }

  placeOf(port: number) {
    const place = this.#places[this.#published.indexOf(port)];
    if (place === undefined) throw new Error(`port ${port} is not published`);
    return { addresses: [CONTAINER_LINK], port: place };
  }

  connect(to: InetEndpoint): Fd {
    return this.#gateway.connect(to);
  }
}

/** Those of a network namespace by what opens sockets in it. */
export function tcpOf(namespace: SocketMaker): TcpPlace {
  const socketFor = ({ address }: InetEndpoint) => {
    const family = address.length === 4 ? AF.INET : AF.INET6;
    const [socket] = namespace.open([[family, SOCK.STREAM | SOCK.NONBLOCK | SOCK.CLOEXEC, 0]]);
    if (socket === undefined) throw new Error("a socket is missing");
    return socket;
  };
  return {
    listen: (at) => prepared(socketFor(at), (socket) => listenOn(socket, at)),
    connect: (to) => prepared(socketFor(to), (socket) => connectTo(socket, to)),
  };
}
