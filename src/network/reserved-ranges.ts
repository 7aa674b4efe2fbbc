import {
  type InetAddress,
  type InetRange,
  inetRangeHas,
  parseInetRange,
} from "../linux/network/inet-address";

/** What an address is that is not of the Internet at large. */
export type Reserved =
  | "this host"
  | "loopback"
  | "private"
  | "link-local"
  | "metadata"
  | "multicast"
  | "reserved";

/** IANA's registries of special-purpose addresses (RFC 6890), and where clouds tell their machines who they are. The first that fits is it. */
const RANGES: readonly (readonly [what: Reserved, ...ranges: readonly string[]])[] = [
  [
    "metadata",
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "100.100.100.200",
    "fd00:ec2::254",
    "fd20:ce::254",
  ],
  ["loopback", "127.0.0.0/8", "::1"],
  ["this host", "0.0.0.0/8", "::"],
  ["link-local", "169.254.0.0/16", "fe80::/10"],
  ["private", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fec0::/10"],
  ["multicast", "224.0.0.0/4", "ff00::/8"],
  [
    "reserved",
    "192.0.0.0/24",
    "198.18.0.0/15",
    "240.0.0.0/4",
    "64:ff9b:1::/48",
    "2001::/23",
    "2002::/16",
    "::/96",
  ],
];

const PARSED = RANGES.map(([what, ...texts]) => ({ what, ranges: texts.map(rangeOf) }));

function rangeOf(text: string): InetRange {
  const range = parseInetRange(text);
  if (range === undefined) throw new Error(`no range: ${text}`);
  return range;
}

/** Addresses of IPv4 as those of IPv6 by which a gateway is reached that translates (RFC 6052). */
const TRANSLATED = rangeOf("64:ff9b::/96");

/** The address of IPv4 that a gateway makes of one of IPv6; of others they themselves. */
export function translated(address: InetAddress): InetAddress {
  return inetRangeHas(TRANSLATED, address) ? address.slice(12) : address;
}

/** What an address is, where it is not of the Internet at large; undefined of others. */
export function reservedAs(address: InetAddress): Reserved | undefined {
  return reservation(address)?.what;
}

/**
 * Whether a range that has an address means it. One that is wider than what the address is reserved as does not: who says 0.0.0.0/0 thinks of the
 * Internet, and not of what clouds say at 169.254.169.254.
 */
export function means({ prefix }: InetRange, address: InetAddress): boolean {
  return prefix >= (reservation(address)?.prefix ?? 0);
}

/** As what an address is reserved, and how many bits say so. */
function reservation(address: InetAddress): { what: Reserved; prefix: number } | undefined {
  const meant = translated(address);
  for (const { what, ranges } of PARSED) {
    const range = ranges.find((each) => inetRangeHas(each, meant));
    if (range !== undefined)
      return { what, prefix: range.prefix + (meant === address ? 0 : TRANSLATED.prefix) };
  }
  return undefined;
}
