import { asHakoError } from "../base/errors";
import { type InetAddress, inetAddressText } from "../linux/network/inet-address";
import { connectTo, inetSocket, localEndpoint } from "../linux/network/inet-socket";
import type { Stop, Why } from "./attempts";
import type { Resolver } from "./resolver";
import type { Destination, RuleSet } from "./rule-set";

/** Where a destination may be reached, at one address at least, or why it is not. */
export type Found = { addresses: readonly InetAddress[] } | Stop;

/** Says where a destination may be reached; `found` is called at once where that is known. */
export interface AddressFinder {
  find(destination: Destination, found: (result: Found) => void): void;
}

/** How long it is taken as true that an address is the host's own, or is not, in milliseconds. */
const KEPT_MS = 1000;

/** What the host says of destinations that programs name. */
export class OutsideAddresses implements AddressFinder {
  /** Which addresses are the host's own; all are asked for again after a while. */
  readonly #own = new Map<string, boolean>();
  #ownUntil = 0;

  constructor(
    private readonly rules: RuleSet,
    private readonly resolver: Resolver,
  ) {}

  /** Where a destination may be reached by the rules. */
  find(destination: Destination, found: (result: Found) => void): void {
    const why = this.rules.refusal(destination);
    const { host } = destination;
    if (why !== undefined) found({ verdict: "refused", why });
    else if (typeof host !== "string") found(this.#allowed(destination, [host]));
    else this.resolver.look(host, (addresses) => found(this.#allowed(destination, addresses)));
  }

  #allowed(destination: Destination, addresses: readonly InetAddress[]): Found {
    const looked = addresses.map((address) => ({ address, why: this.#refusal(address, destination) }));
    const allowed = looked.filter(({ why }) => why === undefined).map(({ address }) => address);
    if (allowed.length > 0) return { addresses: allowed };
    const [first] = looked;
    if (first?.why === undefined) return { verdict: "failed", why: "no such name" };
    return { verdict: "refused", why: first.why, address: first.address };
  }

  #refusal(address: InetAddress, { port, protocol }: Destination): Why | undefined {
    const why = this.rules.refusalOfAnswer(address, port, protocol);
    if (why !== undefined || this.rules.namesAddress(address, port, protocol)) return why;
    return this.#isOwn(address) ? "the host itself" : undefined;
  }

  #isOwn(address: InetAddress): boolean {
    const now = performance.now();
    if (now > this.#ownUntil) {
      this.#own.clear();
      this.#ownUntil = now + KEPT_MS;
    }
    const text = inetAddressText(address);
    const known = this.#own.get(text);
    if (known !== undefined) return known;
    const is = isOwn(address);
    this.#own.set(text, is);
    return is;
  }
}

const DISCARD = 9;

/** Whether an address is one of the host's own: what listens there is not of the outside. No packet is sent for it. */
function isOwn(address: InetAddress): boolean {
  const endpoint = { address, port: DISCARD };
  try {
    using probe = inetSocket(endpoint, "datagram");
    connectTo(probe, endpoint);
    return same(localEndpoint(probe).address, address);
  } catch (error) {
    // there is no way to it, which the connection will tell
    if (asHakoError(error).errno !== undefined) return false;
    throw error;
  }
}

function same(one: InetAddress, other: InetAddress): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}
