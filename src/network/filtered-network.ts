import type { ErrnoName } from "../base/errno";
import { asHakoError } from "../base/errors";
import { type Fd, FdList } from "../linux/call/fd";
import type { Datagram } from "../linux/network/datagram";
import { type InetEndpoint, inetRangeHas } from "../linux/network/inet-address";
import { localEndpoint, startConnection } from "../linux/network/inet-socket";
import { Attempts, type Started, type Stop } from "./attempts";
import type { Connections } from "./connections";
import { type AnswerDatagram, Datagrams } from "./datagrams";
import type { Gateway } from "./gateway";
import { GatewayPorts } from "./gateway-ports";
import type { HeaderInjection } from "./header-injection";
import { hostNameServers } from "./host-name-servers";
import { GATEWAY_LINK, LabelAddresses } from "./label-addresses";
import { nameAsked } from "./name-answers";
import { type AskOthers, NAME_PORT, NameServer } from "./name-server";
import { type AddressFinder, OutsideAddresses } from "./outside-addresses";
import { OutsideQuestion } from "./outside-question";
import type { Resolver } from "./resolver";
import type { NetworkRule, PortRange, Protocol } from "./rule";
import type { Destination, RuleSet } from "./rule-set";

const OWN = { address: GATEWAY_LINK, prefix: 32 } as const;
const NAME_PORTS: PortRange = { first: NAME_PORT, last: NAME_PORT };

/** Errors of a connection that could not be made (connect(2)). */
const NOT_MADE: ReadonlySet<ErrnoName> = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "EACCES",
  "EPERM",
  "ECANCELED",
]);

/** By what a network with rules decides, connects and tells. */
interface NetworkParts {
  rules: RuleSet;
  connections: Connections;
  attempts: Attempts;
  resolver: Resolver;
  injection: HeaderInjection;
}

/** What a container reaches by rules: what hako does when something is called in its gateway. */
export class FilteredNetwork implements Disposable {
  readonly #labels = new LabelAddresses();
  readonly #names: NameServer;
  readonly #outside: OutsideAddresses;
  readonly #ports: GatewayPorts;
  readonly #datagrams: Datagrams;
  /** What programs ask of names that are known outside, where all of that may be reached. */
  readonly #queries: Datagrams;
  readonly #datagramSockets = new FdList();
  /** What is called at ports of the gateway's own address. */
  readonly #own = new Map<number, (socket: Fd) => void>();

  constructor(
    readonly gateway: Gateway,
    private readonly parts: NetworkParts,
  ) {
    const { rules, connections, attempts, resolver } = parts;
    const { changes } = connections;
    this.#outside = new OutsideAddresses(rules, resolver);
    const others: AskOthers = (query, answered) =>
      this.#isForOthers(query) ? new OutsideQuestion(changes, hostNameServers(), query, answered) : undefined;
    this.#names = new NameServer(changes, rules, this.#labels, attempts, gateway.families, others);
    const answer: AnswerDatagram = (bytes, from, to) => this.#ports.answer(bytes, from, to);
    this.#datagrams = new Datagrams(changes, this.#outside, attempts, answer);
    // a question is no attempt to reach something
    const nameServers: AddressFinder = { find: (_, found) => found({ addresses: hostNameServers() }) };
    this.#queries = new Datagrams(changes, nameServers, new Attempts(undefined), answer);
    this.#ports = new GatewayPorts(gateway, {
      tcp: (listener) => connections.listen(listener, (taken) => this.#taken(taken)),
      udp: (socket) => {
        this.#datagramSockets.add(socket);
        this.#datagrams.serve(socket, (datagram) => this.#asked(datagram));
      },
    });
    const listen = ({ tcp, udp }: Record<Protocol, readonly PortRange[]>) =>
      this.#ports.listen({ tcp: [...tcp, NAME_PORTS], udp: [...udp, NAME_PORTS] });
    listen({ tcp: rules.ports("tcp"), udp: rules.ports("udp") });
    rules.onAdded(({ verdict, ports, protocols }: NetworkRule) => {
      const of = (protocol: Protocol) => (verdict === "allow" && protocols.includes(protocol) ? ports : []);
      listen({ tcp: of("tcp"), udp: of("udp") });
    });
  }

  /** Whether something that was sent has not left, and may do so soon. */
  get isSending(): boolean {
    return this.parts.connections.isSending || this.#datagrams.isSending;
  }

  /** Has `taken` get what is connected to a port of the gateway's own address. */
  serveOwn(port: number, taken: (socket: Fd) => void): void {
    this.#own.set(port, taken);
    this.#ports.listen({ tcp: [{ first: port, last: port }], udp: [] });
  }

  /** What a program has called. */
  #destination({ address, port }: InetEndpoint, protocol: Protocol): Destination {
    return { host: this.#labels.nameOf(address) ?? address, port, protocol };
  }

  /** A program has connected to something. */
  #taken(socket: Fd): void {
    const called = localEndpoint(socket);
    const own = inetRangeHas(OWN, called.address) ? this.#own.get(called.port) : undefined;
    if (own !== undefined) {
      own(socket);
      return;
    }
    const destination = this.#destination(called, "tcp");
    if (this.#asksForNames(destination)) this.#names.serve(socket, () => this.parts.connections.left());
    else this.#connect(socket, destination);
  }

  #connect(socket: Fd, destination: Destination): void {
    const { attempts, connections, injection } = this.parts;
    const attempt = attempts.begin(destination);
    const stop = (why: Stop) => {
      attempt.stopped(why);
      connections.refuse(socket);
    };
    const isWanted = connections.waitFor(() => stop({ verdict: "failed", why: "ECANCELED" }));
    this.#outside.find(destination, (found) => {
      if (!isWanted()) return;
      if (!("addresses" in found)) {
        stop(found);
        return;
      }
      const [address, ...others] = found.addresses;
      const [header, ...more] = injection.headersFor(destination);
      if (address !== undefined && others.length === 0 && header === undefined) {
        this.#connectAtOnce(socket, { address, port: destination.port }, attempt);
        return;
      }
      connections.dial({ ...found, port: destination.port }, (dialled) => {
        if ("failure" in dialled) {
          stop({ verdict: "failed", why: dialled.failure });
          return;
        }
        const pair = { taken: socket, other: dialled.socket, address: dialled.address };
        if (header !== undefined) injection.relay(pair, [header, ...more], attempt);
        else
          connections.connect(socket, dialled.socket, (sent, received, error) =>
            attempt.ended(dialled.address, sent, received, error),
          );
      });
    });
  }

  /** Connects with the only address that there is: nothing has to be waited for before bytes can be passed on. */
  #connectAtOnce(socket: Fd, to: InetEndpoint, attempt: Started): void {
    let other: Fd;
    try {
      other = startConnection(to);
    } catch (error) {
      const { errno } = asHakoError(error);
      if (errno === undefined) throw error;
      attempt.stopped({ verdict: "failed", why: errno });
      this.parts.connections.refuse(socket);
      return;
    }
    this.parts.connections.connect(socket, other, (sent, received, error) => {
      const isMade = error === undefined || received > 0 || !NOT_MADE.has(error);
      if (isMade) attempt.ended(to.address, sent, received, error);
      else attempt.stopped({ verdict: "failed", why: error, address: to.address });
    });
  }

  /** Whether a call is a question for the name server: whatever server a program knows, none is asked but this one, unless a rule says so. */
  #asksForNames(destination: Destination): boolean {
    return destination.port === NAME_PORT && this.parts.rules.refusal(destination) !== undefined;
  }

  /** Whether a query is for those whom the host asks: where all that is outside may be reached, and no rule is about the name. */
  #isForOthers(query: Uint8Array): boolean {
    const { rules } = this.parts;
    const name = rules.hasOutside ? nameAsked(query) : undefined;
    return name !== undefined && !rules.knows(name);
  }

  /** Where a datagram is to go; undefined of one that is a question for the name server. */
  #asked(datagram: Datagram): Destination | undefined {
    const destination = this.#destination(datagram.to, "udp");
    if (!this.#asksForNames(destination)) return destination;
    if (this.#isForOthers(datagram.bytes)) this.#queries.pass(datagram, destination);
    else {
      const answer = this.#names.answer(datagram.bytes);
      if (answer !== undefined) this.#ports.answer(answer, datagram.to, datagram.from);
    }
    return undefined;
  }

  [Symbol.dispose](): void {
    this.#names[Symbol.dispose]();
    this.#datagrams[Symbol.dispose]();
    this.#queries[Symbol.dispose]();
    this.#datagramSockets[Symbol.dispose]();
    this.#ports[Symbol.dispose]();
  }
}
