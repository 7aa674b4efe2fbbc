/**
 * Addresses of IPv4 and IPv6 as their 4 or 16 bytes. One of IPv4 that is written as one of IPv6 (::ffff:192.0.2.1, RFC 4291 2.5.5.2) is the one
 * of IPv4, for the kernel sends what is meant for either to the same place.
 */
export type InetAddress = Uint8Array;

/** An address, and the port of TCP or UDP. */
export interface InetEndpoint {
  address: InetAddress;
  port: number;
}

/** All addresses that begin with the same bits (CIDR, RFC 4632). */
export interface InetRange {
  address: InetAddress;
  /** How many bits those are. */
  prefix: number;
}

const MAPPED = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);
const OCTET = /^(0|[1-9]\d{0,2})$/;
const GROUP = /^[\da-f]{1,4}$/i;

/** The address that a text is: four decimal numbers, or RFC 4291 2.2 without a zone. undefined of other texts, also of 127.1 and 010.0.0.1. */
export function parseInetAddress(text: string): InetAddress | undefined {
  if (!text.includes(":")) return parseFour(text);
  const bytes = parseSixteen(text);
  return bytes === undefined ? undefined : unmapped(bytes);
}

function parseFour(text: string): InetAddress | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => OCTET.test(part) && Number(part) < 256)) return undefined;
  return Uint8Array.from(parts, Number);
}

function parseSixteen(text: string): InetAddress | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [first, last] = halves.map((half, index) => groups(half, index === halves.length - 1));
  if (first === undefined) return undefined;
  if (halves.length === 1) return first.length === 16 ? Uint8Array.from(first) : undefined;
  if (last === undefined || first.length + last.length > 14) return undefined;
  const bytes = new Uint8Array(16);
  bytes.set(first, 0);
  bytes.set(last, 16 - last.length);
  return bytes;
}

/** The bytes of groups of four hexadecimal digits, of which the last two may be an address of IPv4. */
function groups(text: string, mayEndInFour: boolean): number[] | undefined {
  if (text === "") return [];
  const parts = text.split(":");
  const bytes: number[] = [];
  for (const [index, part] of parts.entries()) {
    const isLast = index === parts.length - 1;
    const four = mayEndInFour && isLast && part.includes(".") ? parseFour(part) : undefined;
    if (four !== undefined) bytes.push(...four);
    else if (GROUP.test(part)) {
      const value = Number.parseInt(part, 16);
      bytes.push(value >> 8, value & 0xff);
    } else return undefined;
  }
  return bytes;
}

/** The 4 bytes of an address of IPv4 that is written as one of IPv6; other addresses as they are. */
export function unmapped(address: InetAddress): InetAddress {
  const isMapped = address.length === 16 && MAPPED.every((byte, index) => address[index] === byte);
  return isMapped ? address.slice(12) : address;
}

/** An address as RFC 5952 has it: the first of the longest runs of zeros is "::". */
export function inetAddressText(address: InetAddress): string {
  if (address.length === 4) return address.join(".");
  const parts = Array.from({ length: 8 }, (_, index) =>
    (((address[2 * index] ?? 0) << 8) | (address[2 * index + 1] ?? 0)).toString(16),
  );
  const text = parts.join(":");
  const runs = text.match(/\b0(:0)+\b/g) ?? [];
  const longest = runs.reduce((one, other) => (other.length > one.length ? other : one), "");
  if (longest === "") return text;
  return text.replace(new RegExp(`(^|:)${longest}(:|$)`), "::");
}

/** "192.0.2.1:80", "[2001:db8::1]:80". */
export function inetEndpointText({ address, port }: InetEndpoint): string {
  const text = inetAddressText(address);
  return address.length === 4 ? `${text}:${port}` : `[${text}]:${port}`;
}

/** The range that a text such as 10.0.0.0/8 is; an address alone is a range of one. undefined of other texts, and where bits behind the prefix are set. */
export function parseInetRange(text: string): InetRange | undefined {
  const [start = "", bits, ...more] = text.split("/");
  const address = parseInetAddress(start);
  if (address === undefined || more.length > 0) return undefined;
  const most = 8 * address.length;
  if (bits === undefined) return { address, prefix: most };
  if (!OCTET.test(bits)) return undefined;
  // of ::ffff:10.0.0.0/104 the first 96 bits are those that are left out
  const prefix = Number(bits) - (address.length === 4 && start.includes(":") ? 96 : 0);
  if (prefix < 0 || prefix > most) return undefined;
  const isStart = address.every((byte, index) => (byte & ~maskOf(prefix, index)) === 0);
  return isStart ? { address, prefix } : undefined;
}

/** Which bits of the byte of this index belong to a prefix. */
function maskOf(prefix: number, index: number): number {
  const bits = Math.min(8, Math.max(0, prefix - 8 * index));
  return (0xff << (8 - bits)) & 0xff;
}

/** Whether an address lies in a range; an address of one family never lies in a range of the other. */
export function inetRangeHas({ address: start, prefix }: InetRange, address: InetAddress): boolean {
  if (start.length !== address.length) return false;
  // each connection is asked for by all rules: no closure, and no byte more than the prefix has
  for (let index = 0; 8 * index < prefix; index++)
    if ((((start[index] ?? 0) ^ (address[index] ?? 0)) & maskOf(prefix, index)) !== 0) return false;
  return true;
}
