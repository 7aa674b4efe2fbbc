import { HakoError } from "../../base/errors";
import { textOf } from "../call/bytes";
import { AF, IFF } from "../call/constants";
import type { Fd } from "../call/fd";
import {
  attributesOf,
  type NetlinkAttribute,
  NLM_F_CREATE_EXCL,
  NLM_F_DUMP,
  netlinkAttribute,
  netlinkNest,
  netlinkNumber,
  netlinkRequest,
  netlinkText,
} from "./netlink";
import {
  IFA_ADDRESS,
  IFA_F_PERMANENT,
  IFA_FLAGS,
  IFA_LOCAL,
  IFLA_IFNAME,
  IFLA_INFO_KIND,
  IFLA_LINKINFO,
  IFLA_NET_NS_FD,
  LINK_SIZE,
  RTM_NEWLINK,
} from "./rtnetlink";

const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const IFLA_ADDRESS = 1;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_AF_SPEC = 26;
const IFLA_INET_CONF = 1;
const IPV4_DEVCONF_ACCEPT_LOCAL = 23;
const IFLA_LINK_NETNSID = 37;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;
const IFA_BROADCAST = 4;
/** NODAD, MANAGETEMPADDR, NOPREFIXROUTE: wishes of whoever made the address. The others are the kernel's findings. */
const KEPT_FLAGS = 0x02 | 0x100 | 0x200;
const SCOPE_UNIVERSE = 0;
const ADDRESS_SIZE = 8;
/** What of an address goes with it to another namespace. */
const KEPT = [IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST];

/** Interfaces that the kernel makes in every network namespace: they are down, and lead nowhere. */
export const OF_KERNEL = /^(lo|(tunl|gre|gretap|erspan|sit|ip6tnl|ip6gre|ip_vti|ip6_vti)0)$/;

/** A network interface of this thread's namespace. */
export interface NetworkDevice {
  index: number;
  name: string;
  up: boolean;
  /** Frames can be sent: it is up, and has a carrier. */
  running: boolean;
  /** ARPHRD_* (linux/if_arp.h). */
  hardware: number;
  /** The other end is a descriptor of a process's (tuntap). */
  ofProcess: boolean;
  mtu: number;
  /** Its address at the link's layer, in hexadecimal digits; "" of one that has none. */
  mac: string;
  /** The index of what it is a part of (a bridge's port), or lies on (a VLAN), in this namespace. */
  tiedTo: number | undefined;
  /** Settings of Documentation/networking/ip-sysctl.rst, "FAMILY/NAME". */
  settings: Partial<Record<LinkSetting, string>>;
}

/** Settings of an interface that engines change: in which family's attribute each is, and which number of it (linux/ip.h, linux/ipv6.h: DEVCONF). */
const LINK_SETTINGS = {
  "ipv4/rp_filter": [AF.INET, 1, 7],
  "ipv6/disable_ipv6": [AF.INET6, 2, 26],
  "ipv6/accept_ra": [AF.INET6, 2, 3],
  "ipv6/autoconf": [AF.INET6, 2, 5],
} as const;
export type LinkSetting = keyof typeof LINK_SETTINGS;

interface Address {
  family: number;
  prefix: number;
  attributes: NetlinkAttribute[];
}

export function networkDevices(): NetworkDevice[] {
  return netlinkRequest("list interfaces", RTM_GETLINK, NLM_F_DUMP, Buffer.alloc(LINK_SIZE)).map(
    ({ body }) => {
      const attributes = attributesOf(body.subarray(LINK_SIZE));
      const value = (type: number) => attributes.find((each) => each.type === type)?.value;
      const lower = value(IFLA_LINK_NETNSID) === undefined ? value(IFLA_LINK) : undefined;
      const [index, below] = [body.readInt32LE(4), lower?.readInt32LE(0) ?? 0];
      return {
        index,
        name: textOf(value(IFLA_IFNAME) ?? new Uint8Array()).replace(/\0.*/s, ""),
        up: (body.readUInt32LE(8) & IFF.UP) !== 0,
        running: (body.readUInt32LE(8) & IFF.RUNNING) !== 0,
        hardware: body.readUInt16LE(2),
        ofProcess: kindIn(value(IFLA_LINKINFO)) === "tun",
        mtu: value(IFLA_MTU)?.readUInt32LE(0) ?? 0,
        mac: value(IFLA_ADDRESS)?.toString("hex") ?? "",
        settings: settingsIn(value(IFLA_AF_SPEC)),
        tiedTo: value(IFLA_MASTER)?.readInt32LE(0) ?? (below > 0 && below !== index ? below : undefined),
      };
    },
  );
}

/** What IFLA_LINKINFO says; undefined of hardware. */
function kindIn(information: Buffer = Buffer.alloc(0)): string | undefined {
  const kind = attributesOf(information).find(({ type }) => type === IFLA_INFO_KIND);
  return kind && textOf(kind.value).replace(/\0.*/s, "");
}

/** What IFLA_AF_SPEC says. */
function settingsIn(families: Buffer = Buffer.alloc(0)): NetworkDevice["settings"] {
  const all = attributesOf(families);
  const found: NetworkDevice["settings"] = {};
  for (const [name, [family, attribute, number]] of Object.entries(LINK_SETTINGS)) {
    const ofFamily = all.find(({ type }) => type === family)?.value ?? Buffer.alloc(0);
    const values = attributesOf(ofFamily).find(({ type }) => type === attribute)?.value;
    if (values !== undefined && values.length >= 4 * (number + 1))
      found[name as LinkSetting] = String(values.readInt32LE(4 * number));
  }
  return found;
}

export function networkDevice(name: string): NetworkDevice {
  const found = networkDevices().find((device) => device.name === name);
  if (found !== undefined) return found;
  throw new HakoError({ code: "system", message: `there is no network interface ${name}`, errno: "ENODEV" });
}

/** Permanent addresses that are good everywhere; the kernel forgets them when their interface moves. */
export function globalAddresses(index: number): Address[] {
  const all = netlinkRequest("list addresses", RTM_GETADDR, NLM_F_DUMP, Buffer.alloc(ADDRESS_SIZE));
  return all.flatMap(({ body }) => {
    const attributes = attributesOf(body.subarray(ADDRESS_SIZE));
    const flags =
      attributes.find(({ type }) => type === IFA_FLAGS)?.value.readUInt32LE(0) ?? body.readUInt8(2);
    const ours = body.readUInt32LE(4) === index && body.readUInt8(3) === SCOPE_UNIVERSE;
    if (!ours || (flags & IFA_F_PERMANENT) === 0) return [];
    const kept = attributes.filter(({ type }) => KEPT.includes(type));
    const wishes = Buffer.alloc(4);
    wishes.writeUInt32LE((flags & KEPT_FLAGS) | IFA_F_PERMANENT);
    kept.push({ type: IFA_FLAGS, value: wishes });
    return [{ family: body.readUInt8(0), prefix: body.readUInt8(1), attributes: kept }];
  });
}

/** Moves an interface into another namespace under a name; "%d" in it is for the kernel to number. */
export function moveNetworkDevice(device: NetworkDevice, namespace: Fd, name: string): void {
  const attributes = [netlinkNumber(IFLA_NET_NS_FD, namespace.number), netlinkText(IFLA_IFNAME, name)];
  change(`move ${device.name}`, device, undefined, attributes);
}

/** The largest packet that goes through an interface, in bytes. */
export function setMtu(device: NetworkDevice, mtu: number): void {
  change(`MTU ${mtu} of ${device.name}`, device, undefined, [netlinkNumber(IFLA_MTU, mtu)]);
}

/** The kernel gives an interface no IPv6 address of the link by itself. */
export function withoutLinkLocal(device: NetworkDevice): void {
  const mode = netlinkAttribute(IFLA_INET6_ADDR_GEN_MODE, Uint8Array.of(IN6_ADDR_GEN_MODE_NONE));
  const attributes = [netlinkNest(IFLA_AF_SPEC, netlinkNest(AF.INET6, mode))];
  change(`addresses of ${device.name}`, device, undefined, attributes);
}

/** Packets that come in may be from an address that is another interface's here (accept_local of ip-sysctl.rst). */
export function acceptLocal(device: NetworkDevice): void {
  const setting = netlinkNest(IFLA_INET_CONF, netlinkNumber(IPV4_DEVCONF_ACCEPT_LOCAL, 1));
  const attributes = [netlinkNest(IFLA_AF_SPEC, netlinkNest(AF.INET, setting))];
  change(`accept_local of ${device.name}`, device, undefined, attributes);
}

export function setUp(device: NetworkDevice, up: boolean): void {
  change(`bring ${device.name} ${up ? "up" : "down"}`, device, up, []);
}

/** Changes an interface (RTM_NEWLINK of one that there is). */
function change(
  what: string,
  { index }: NetworkDevice,
  up: boolean | undefined,
  attributes: readonly Buffer[],
): void {
  netlinkRequest(what, RTM_NEWLINK, 0, Buffer.concat([linkHeader(index, up), ...attributes]));
}

export function addAddress(device: NetworkDevice, { family, prefix, attributes }: Address): void {
  const header = Buffer.alloc(ADDRESS_SIZE);
  header.writeUInt8(family, 0);
  header.writeUInt8(prefix, 1);
  header.writeUInt8(IFA_F_PERMANENT, 2);
  header.writeUInt32LE(device.index, 4);
  const parts = attributes.map(({ type, value }) => netlinkAttribute(type, value));
  netlinkRequest(
    `address of ${device.name}`,
    RTM_NEWADDR,
    NLM_F_CREATE_EXCL,
    Buffer.concat([header, ...parts]),
  );
}

/** struct ifinfomsg; undefined: up or down as it is. */
function linkHeader(index: number, up: boolean | undefined): Buffer {
  const header = Buffer.alloc(LINK_SIZE);
  header.writeInt32LE(index, 4);
  if (up === undefined) return header;
  header.writeUInt32LE(up ? IFF.UP : 0, 8);
  header.writeUInt32LE(IFF.UP, 12);
  return header;
}
