import { type InetAddress, type InetRange, inetRangeHas } from "../linux/network/inet-address";

/**
 * Addresses that stand for names. A program that asks for a name is given one of these, and which it connects to tells what it has asked for:
 * so that the destination is what the rule says, whatever the program writes into its requests.
 */

/** Of benchmarks (RFC 2544): nothing on the Internet has one. */
export const LABELS_V4: InetRange = { address: Uint8Array.of(198, 18, 0, 0), prefix: 15 };
/** A unique local prefix (RFC 4193): fd00:6861:6b6f::/64. */
const PREFIX_V6 = Uint8Array.of(0xfd, 0, 0x68, 0x61, 0x6b, 0x6f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
export const LABELS_V6: InetRange = { address: PREFIX_V6, prefix: 64 };

/** How many names a program may ask for, each of which may tell their owner something. */
const MOST_NAMES = 4096;
/** The first 256 addresses are the gateway's own. */
const FIRST = 256;

/** The address of a range that has this number at its end. */
export function numbered({ address }: InetRange, number: number): InetAddress {
  const bytes = Uint8Array.from(address);
  const end = bytes.length;
  for (let place = 0; place < 3; place++) {
    const at = end - 1 - place;
    bytes[at] = (bytes[at] ?? 0) + ((number >>> (8 * place)) & 0xff);
  }
  return bytes;
}

/** Where names are asked for. */
export const NAME_SERVER = numbered(LABELS_V4, 1);
/** Of the interfaces of a container and its gateway: the end of the range, which no name is given. */
export const CONTAINER_LINK = numbered(LABELS_V4, 0x1fffe);
export const GATEWAY_LINK = numbered(LABELS_V4, 0x1ffff);

export class LabelAddresses {
  readonly #numbers = new Map<string, number>();
  readonly #names: string[] = [];

  /** The number of a name; undefined when there are too many. */
  numberOf(name: string): number | undefined {
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    if (this.#names.length >= MOST_NAMES) return undefined;
    const number = FIRST + this.#names.length;
    this.#numbers.set(name, number);
    this.#names.push(name);
    return number;
  }

  /** The name that an address stands for; undefined of an address that stands for none. */
  nameOf(address: InetAddress): string | undefined {
    const range = address.length === 4 ? LABELS_V4 : LABELS_V6;
    if (!inetRangeHas(range, address)) return undefined;
    const [high = 0, middle = 0, low = 0] = address.slice(-3);
    const start = range.address.at(-3) ?? 0;
    const number = ((high - start) << 16) | (middle << 8) | low;
    const name = this.#names[number - FIRST];
    // of IPv6 the bytes before the last three are the range's own
    if (name === undefined || !numbered(range, number).every((byte, at) => byte === address[at]))
      return undefined;
    return name;
  }
}
