import { AF, SOCK } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { askForDestinations, type Datagram, sendDatagram } from "../linux/network/datagram";
import type { InetEndpoint } from "../linux/network/inet-address";
import { bindTo, listenOn, localEndpoint, setSocketOption } from "../linux/network/inet-socket";
import type { Attempts } from "./attempts";
import type { Connections } from "./connections";
import { Datagrams } from "./datagrams";
import { Dial } from "./dialer";
import type { Gateway } from "./gateway";
import { LabelAddresses } from "./label-addresses";
import { NAME_PORT, NameServer } from "./name-server";
import { OutsideAddresses } from "./outside-addresses";
import type { Resolver } from "./resolver";
import type { NetworkRule, PortRange, Protocol } from "./rule";
import type { Destination, RuleSet } from "./rule-set";

/** What a container reaches by rules: listeners in its gateway, and what hako does when they are called. */
export class FilteredNetwork implements Disposable {
  readonly #labels = new LabelAddresses();
  readonly #names: NameServer;
  readonly #outside: OutsideAddresses;
  readonly #datagrams: Datagrams;
  readonly #listening: Record<Protocol, Set<number>> = { tcp: new Set(), udp: new Set() };
  readonly #datagramSockets: Fd[] = [];

  constructor(
    private readonly gateway: Gateway,
    private readonly rules: RuleSet,
    private readonly connections: Connections,
    private readonly attempts: Attempts,
    resolver: Resolver,
  ) {
    const { changes } = connections;
    this.#outside = new OutsideAddresses(rules, resolver);
    this.#names = new NameServer(changes, rules, this.#labels, attempts, gateway.families);
    this.#datagrams = new Datagrams(changes, this.#outside, attempts);
    const names = [{ first: NAME_PORT, last: NAME_PORT }];
    this.#listen([...rules.ports("tcp"), ...names], [...rules.ports("udp"), ...names]);
    rules.onAdded(({ verdict, ports, protocols }: NetworkRule) => {
      if (verdict !== "allow") return;
      const of = (protocol: Protocol) => (protocols.includes(protocol) ? ports : []);
      this.#listen(of("tcp"), of("udp"));
    });
  }

  /** Listens at ports that nobody listens at yet. */
  #listen(tcp: readonly PortRange[], udp: readonly PortRange[]): void {
    const streams = newPorts(tcp, this.#listening.tcp);
    const datagrams = newPorts(udp, this.#listening.udp);
    const sockets = this.gateway.open([
      ...streams.map(() => SOCK.STREAM),
      ...datagrams.map(() => SOCK.DGRAM),
    ]);
    const places = [...streams, ...datagrams].flatMap((port, index) =>
      this.gateway.families.map((family) => ({ port, family, isStream: index < streams.length })),
    );
    for (const [index, { port, family, isStream }] of places.entries()) {
      const socket = sockets[index];
      if (socket === undefined) throw new Error("a socket is missing");
      const endpoint = { address: new Uint8Array(family === AF.INET ? 4 : 16), port };
      if (isStream) this.#listenAt(socket, endpoint);
      else this.#receiveAt(socket, endpoint);
    }
    for (const port of streams) this.#listening.tcp.add(port);
    for (const port of datagrams) this.#listening.udp.add(port);
  }

  #listenAt(socket: Fd, endpoint: InetEndpoint): void {
    listenOn(socket, endpoint);
    this.connections.listen(socket, (taken) => this.#taken(taken));
  }

  #receiveAt(socket: Fd, endpoint: InetEndpoint): void {
    const isV6 = endpoint.address.length === 16;
    this.#datagramSockets.push(socket);
    if (isV6) setSocketOption(socket, "IPV6_V6ONLY", 1);
    askForDestinations(socket, isV6);
    bindTo(socket, endpoint);
    this.#datagrams.serve(socket, (datagram) => this.#asked(socket, datagram, endpoint.port));
  }

  /** What a program has called. */
  #destination({ address, port }: InetEndpoint, protocol: Protocol): Destination {
    return { host: this.#labels.nameOf(address) ?? address, port, protocol };
  }

  /** A program has connected to something. */
  #taken(socket: Fd): void {
    const destination = this.#destination(localEndpoint(socket), "tcp");
    if (this.#asksForNames(destination)) {
      this.#names.serve(socket, () => this.connections.left());
      return;
    }
    const attempt = this.attempts.begin(destination);
    this.#outside.find(destination, (found) => {
      if (!("addresses" in found)) {
        attempt.stopped(found);
        this.connections.refuse(socket);
        return;
      }
      new Dial(this.connections.changes, found.addresses, destination.port, (dialled) => {
        if ("failure" in dialled) {
          attempt.stopped({ verdict: "failed", why: dialled.failure });
          this.connections.refuse(socket);
          return;
        }
        this.connections.connect(socket, dialled.socket, (sent, received, error) =>
          attempt.ended(dialled.address, sent, received, error),
        );
      });
    });
  }

  /** Whether a call is a question for the name server: whatever server a program knows, none is asked but this one, unless a rule says so. */
  #asksForNames(destination: Destination): boolean {
    return destination.port === NAME_PORT && this.rules.refusal(destination) !== undefined;
  }

  /** Where a datagram is to go; undefined of one that is answered here. */
  #asked(socket: Fd, datagram: Datagram, port: number): Destination | undefined {
    const destination = this.#destination({ address: datagram.to, port }, "udp");
    if (!this.#asksForNames(destination)) return destination;
    const answer = this.#names.answer(datagram.bytes);
    if (answer !== undefined) sendDatagram(socket, answer, datagram.to, datagram.from);
    return undefined;
  }

  [Symbol.dispose](): void {
    this.#datagrams[Symbol.dispose]();
    for (const socket of this.#datagramSockets) socket.close();
  }
}

/** The ports of ranges that are not among those known. */
function newPorts(ranges: readonly PortRange[], known: ReadonlySet<number>): number[] {
  const all = new Set<number>();
  for (const { first, last } of ranges) for (let port = first; port <= last; port++) all.add(port);
  return [...all].filter((port) => !known.has(port));
}
