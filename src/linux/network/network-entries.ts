import type { ErrnoName } from "../../base/errno";
import { AF } from "../call/constants";
import { hasErrno } from "../file/file";
import {
  attributesOf,
  type NetlinkAttribute,
  NLM_F_CREATE_APPEND,
  NLM_F_DUMP,
  netlinkAttribute,
  netlinkRequest,
} from "./netlink";
import {
  IFA_ADDRESS,
  IFA_F_NODAD,
  IFA_F_PERMANENT,
  IFA_FLAGS,
  IFA_LOCAL,
  RTA_DST,
  RTA_GATEWAY,
  RTA_OIF,
} from "./rtnetlink";

/**
 * What a network namespace has beside its interfaces: addresses, rules and routes, fixed neighbours (rtnetlink(7)). An entry is the body of the
 * message that makes it, so that what is read in one namespace can be made in another.
 */

/** In the order in which they are made: a route's source is an address, and its gateway's link has one. */
const ENTRY_KINDS = ["address", "rule", "route", "neighbour"] as const;
export type EntryKind = (typeof ENTRY_KINDS)[number];

export interface NetworkEntry {
  kind: EntryKind;
  body: Buffer;
}

interface KindRow {
  list: number;
  make: number;
  remove: number;
  /** Bytes before the attributes. */
  header: number;
  /** Where in these the index of an interface is. */
  indexAt?: number;
  /** Attributes that make the entry what it is; the others are what the kernel has found out. */
  kept: readonly number[];
  /** Whether somebody has made it: what the kernel makes of itself it makes again. */
  isMade(header: Buffer, value: (type: number) => Buffer | undefined): boolean;
  /** Takes out of the header, and the attributes, what is not to be made again. */
  cleanse(header: Buffer, attributes: readonly NetlinkAttribute[]): readonly NetlinkAttribute[];
}

const IFA_F_MANAGETEMPADDR = 0x100;
const IFA_F_NOPREFIXROUTE = 0x200;
const SCOPE_HOST = 254;
const FRA_PROTOCOL = 21;
const NUD_PERMANENT = 0x80;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RTA_VIA = 18;
const RTA_PREFSRC = 7;
const [RTN_UNICAST, RTN_LOCAL, RTN_MULTICAST] = [1, 2, 5] as const;
const RT_TABLE_LOCAL = 255;
const TABLES = { main: 254, local: RT_TABLE_LOCAL } as const;
const SCOPE_LINK = 253;
/** Who made a route: a redirect, the kernel, a router's advertisement (linux/rtnetlink.h). The guest of an IPv6 router hears it itself. */
const [RTPROT_REDIRECT, RTPROT_KERNEL, RTPROT_STATIC, RTPROT_RA] = [1, 2, 4, 9] as const;
const RTM_F_CLONED = 0x200;
/** RTNH_F_PERVASIVE and RTNH_F_ONLINK: wishes. The others are findings. */
const KEPT_NEXT_HOP_FLAGS = 0x02 | 0x04;
/** ::1, to which the kernel has a route beside that of the address. */
const LOOPBACK = Buffer.from(Uint8Array.from({ length: 16 }, (_, at) => (at === 15 ? 1 : 0)));
const NEXT_HOP_SIZE = 8;

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

const ROWS: Readonly<Record<EntryKind, KindRow>> = {
  // struct ifaddrmsg: family, prefix length, flags, scope, index
  address: {
    ...{ list: 22, make: 20, remove: 21, header: 8, indexAt: 4 },
    // address, local, label, broadcast, flags, priority of its route
    kept: [IFA_ADDRESS, IFA_LOCAL, 3, 4, IFA_FLAGS, 9],
    isMade(header, value) {
      const flags = value(IFA_FLAGS)?.readUInt32LE(0) ?? header.readUInt8(2);
      return (flags & IFA_F_PERMANENT) !== 0 && header.readUInt8(3) !== SCOPE_HOST;
    },
    cleanse(header, attributes) {
      const flags = attributes.find(({ type }) => type === IFA_FLAGS)?.value.readUInt32LE(0) ?? 0;
      // routes are copied themselves, and that the address is nobody else's has been found out
      const wishes = (flags & IFA_F_MANAGETEMPADDR) | IFA_F_NODAD | IFA_F_PERMANENT | IFA_F_NOPREFIXROUTE;
      header.writeUInt8(wishes & 0xff, 2);
      return [
        ...attributes.filter(({ type }) => type !== IFA_FLAGS),
        { type: IFA_FLAGS, value: number(wishes) },
      ];
    },
  },
  // struct fib_rule_hdr
  rule: {
    ...{ list: 34, make: 32, remove: 33, header: 12 },
    // all up to FRA_DPORT_RANGE but padding and protocol
    kept: [1, 2, 3, 4, 6, 10, 11, 12, 13, 14, 15, 16, 17, 19, 20, 22, 23, 24],
    isMade: (_, value) => value(FRA_PROTOCOL)?.readUInt8(0) !== RTPROT_KERNEL,
    cleanse: (_, attributes) => attributes,
  },
  // struct rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type, flags
  route: {
    ...{ list: 26, make: 24, remove: 25, header: 12 },
    // destination, source, interface, gateway, priority, preferred source, metrics, several next hops, table, gateway of another family, preference,
    // encapsulation
    kept: [RTA_DST, 2, RTA_OIF, RTA_GATEWAY, 6, 7, 8, RTA_MULTIPATH, RTA_TABLE, RTA_VIA, 20, 21, 22],
    isMade(header, value) {
      const [protocol, type] = [header.readUInt8(5), header.readUInt8(7)];
      if ((header.readUInt32LE(8) & RTM_F_CLONED) !== 0 || type === RTN_MULTICAST) return false;
      if (protocol === RTPROT_REDIRECT || protocol === RTPROT_RA) return false;
      // of addresses, and of what can't be reached without any
      if (value(RTA_DST)?.equals(LOOPBACK)) return false;
      const table = value(RTA_TABLE)?.readUInt32LE(0) ?? header.readUInt8(4);
      const ofLink = value(RTA_OIF) !== undefined && type === 1;
      return protocol !== RTPROT_KERNEL || (table !== RT_TABLE_LOCAL && ofLink);
    },
    cleanse(header, attributes) {
      header.writeUInt32LE(header.readUInt32LE(8) & KEPT_NEXT_HOP_FLAGS, 8);
      return attributes;
    },
  },
  // struct ndmsg: family, three bytes of padding, index, state, flags, type
  neighbour: {
    ...{ list: 30, make: 28, remove: 29, header: 12, indexAt: 4 },
    // destination, address at the link's layer
    kept: [1, 2],
    isMade: (header) => (header.readUInt16LE(8) & NUD_PERMANENT) !== 0,
    cleanse: (_, attributes) => attributes,
  },
};

/** What somebody has made in this thread's network namespace, in the order in which it can be made again. */
export function networkEntries(): NetworkEntry[] {
  return ENTRY_KINDS.flatMap((kind) => {
    const bodies = entriesOf(kind);
    // the kernel must have a way to a gateway before it takes a route by it
    return kind === "route" ? bodies.sort((one, other) => steps(one) - steps(other)) : bodies;
  });
}

/** The ways by which packets for the IPv4 addresses of its interfaces stay in this thread's namespace, with the index of the interface. */
export function localRoutes(): { index: number; body: Buffer }[] {
  const { list, header: size } = ROWS.route;
  const wanted = Buffer.alloc(size);
  wanted.writeUInt8(AF.INET);
  return netlinkRequest("list of routes", list, NLM_F_DUMP, wanted).flatMap(({ body }) => {
    const isLocal = body.readUInt8(7) === RTN_LOCAL && body.readUInt8(1) === 32;
    const out = attributesOf(body.subarray(size)).find(({ type }) => type === RTA_OIF);
    return isLocal && out !== undefined ? [{ index: out.value.readInt32LE(0), body: Buffer.from(body) }] : [];
  });
}

/** The address that a route is for. */
export function destinationOf({ kind, body }: NetworkEntry): Buffer {
  const found = attributesOf(body.subarray(ROWS[kind].header)).find(({ type }) => type === RTA_DST);
  return found?.value ?? Buffer.alloc(0);
}

/** An IPv4 address of an interface, for it alone. */
export function addressEntry(index: number, address: Buffer): NetworkEntry {
  const header = Buffer.alloc(ROWS.address.header);
  header.set([AF.INET, 32, IFA_F_PERMANENT]);
  header.writeInt32LE(index, 4);
  return {
    kind: "address",
    body: bodyOf(
      header,
      [IFA_ADDRESS, IFA_LOCAL].map((type) => ({ type, value: address })),
    ),
  };
}

/** A way to an IPv4 address that is at an interface; `source` is what packets come from that have no address yet. */
export function linkRoute(
  index: number,
  address: Buffer,
  table: "main" | "local",
  source?: Buffer,
): NetworkEntry {
  const header = Buffer.alloc(ROWS.route.header);
  const id = TABLES[table];
  header.set([AF.INET, 32, 0, 0, id, RTPROT_STATIC, SCOPE_LINK, RTN_UNICAST]);
  const attributes = [
    { type: RTA_TABLE, value: number(id) },
    { type: RTA_DST, value: address },
    ...(source === undefined ? [] : [{ type: RTA_PREFSRC, value: source }]),
    { type: RTA_OIF, value: number(index) },
  ];
  return { kind: "route", body: bodyOf(header, attributes) };
}

/** Which address of an interface's link an IPv4 address has; nobody is asked for it. */
export function neighbourEntry(index: number, address: Buffer, mac: string): NetworkEntry {
  const header = Buffer.alloc(ROWS.neighbour.header);
  header.writeUInt8(AF.INET);
  header.writeInt32LE(index, 4);
  header.writeUInt16LE(NUD_PERMANENT, 8);
  header.writeUInt8(RTN_UNICAST, 11);
  const attributes = [
    { type: 1, value: address },
    { type: 2, value: Buffer.from(mac, "hex") },
  ];
  return { kind: "neighbour", body: bodyOf(header, attributes) };
}

function entriesOf(kind: EntryKind): NetworkEntry[] {
  const { list, header } = ROWS[kind];
  const all = netlinkRequest(`list of ${kind} entries`, list, NLM_F_DUMP, Buffer.alloc(header));
  return all.flatMap(({ body }) => madeEntry(kind, body) ?? []);
}

/** The entry that a listed one is, if somebody has made it. */
export function madeEntry(kind: EntryKind, body: Buffer): NetworkEntry | undefined {
  const { header: size, kept, isMade, cleanse } = ROWS[kind];
  const [header, all] = [Buffer.from(body.subarray(0, size)), attributesOf(body.subarray(size))];
  if (!isMade(header, (type) => all.find((each) => each.type === type)?.value)) return undefined;
  const attributes = cleanse(
    header,
    all.filter(({ type }) => kept.includes(type)),
  );
  return { kind, body: bodyOf(header, attributes) };
}

function bodyOf(header: Buffer, attributes: readonly NetlinkAttribute[]): Buffer {
  return Buffer.concat([header, ...attributes.map(({ type, value }) => netlinkAttribute(type, value))]);
}

/** Whether a route leads to a link (0) or over others. */
function steps({ kind, body }: NetworkEntry): number {
  const types = attributesOf(body.subarray(ROWS[kind].header)).map(({ type }) => type);
  return types.some((type) => [RTA_GATEWAY, RTA_MULTIPATH, RTA_VIA].includes(type)) ? 1 : 0;
}

/** An entry with other indices of interfaces; undefined where one of its interfaces has none. */
export function withIndices(
  { kind, body }: NetworkEntry,
  indices: ReadonlyMap<number, number>,
): NetworkEntry | undefined {
  const { header: size, indexAt } = ROWS[kind];
  const header = Buffer.from(body.subarray(0, size));
  let known = true;
  const put = (bytes: Buffer, at: number) => {
    const index = indices.get(bytes.readInt32LE(at));
    known &&= index !== undefined;
    bytes.writeInt32LE(index ?? 0, at);
  };
  if (indexAt !== undefined) put(header, indexAt);
  const attributes = attributesOf(body.subarray(size));
  if (kind === "route")
    for (const { type, value } of attributes) {
      if (type === RTA_OIF) put(value, 0);
      if (type === RTA_MULTIPATH) for (const at of nextHops(value)) put(value, at);
    }
  return known ? { kind, body: bodyOf(header, attributes) } : undefined;
}

/** Where in the next hops of a route the indices of their interfaces are (struct rtnexthop). */
function nextHops(value: Buffer): number[] {
  const found: number[] = [];
  for (let at = 0; at + NEXT_HOP_SIZE <= value.length; ) {
    const length = value.readUInt16LE(at);
    if (length < NEXT_HOP_SIZE) break;
    found.push(at + 4);
    at += (length + 3) & ~3;
  }
  return found;
}

/** Makes an entry; one that is there already stays. */
export function makeEntry({ kind, body }: NetworkEntry): void {
  change(kind, ROWS[kind].make, NLM_F_CREATE_APPEND, body, "EEXIST");
}

/** Removes an entry; one that has gone with another is no error. */
export function removeEntry({ kind, body }: NetworkEntry): void {
  change(kind, ROWS[kind].remove, 0, body, "ESRCH", "ENOENT", "EADDRNOTAVAIL");
}

function change(
  kind: EntryKind,
  type: number,
  flags: number,
  body: Buffer,
  ...meant: readonly ErrnoName[]
): void {
  const family = body.readUInt8(0) === AF.INET6 ? "IPv6" : "IPv4";
  try {
    netlinkRequest(`${family} ${kind}`, type, flags, body);
  } catch (error) {
    if (!hasErrno(error, ...meant)) throw error;
  }
}
