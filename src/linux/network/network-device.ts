import { HakoError } from "../../base/errors";
import { bytesOf, textOf } from "../call/bytes";
import { IFF } from "../call/constants";
import type { Fd } from "../call/fd";
import {
  attributesOf,
  type NetlinkAttribute,
  NLM_F_CREATE_EXCL,
  NLM_F_DUMP,
  netlinkAttribute,
  netlinkRequest,
} from "./netlink";

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const IFLA_IFNAME = 3;
const IFLA_NET_NS_FD = 28;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const IFA_FLAGS = 8;
const IFA_F_PERMANENT = 0x80;
/** NODAD, MANAGETEMPADDR, NOPREFIXROUTE: wishes of whoever made the address. The others are the kernel's findings. */
const KEPT_FLAGS = 0x02 | 0x100 | 0x200;
const SCOPE_UNIVERSE = 0;
const LINK_SIZE = 16;
const ADDRESS_SIZE = 8;
/** What of an address goes with it to another namespace. */
const KEPT = [IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST];

/** A network interface of this thread's namespace. */
export interface NetworkDevice {
  index: number;
  name: string;
  up: boolean;
}

interface Address {
  family: number;
  prefix: number;
  attributes: NetlinkAttribute[];
}

export function networkDevices(): NetworkDevice[] {
  return netlinkRequest("list interfaces", RTM_GETLINK, NLM_F_DUMP, Buffer.alloc(LINK_SIZE)).map(
    ({ body }) => {
      const name = attributesOf(body.subarray(LINK_SIZE)).find(({ type }) => type === IFLA_IFNAME)?.value;
      return {
        index: body.readInt32LE(4),
        name: textOf(name ?? new Uint8Array()).replace(/\0.*/s, ""),
        up: (body.readUInt32LE(8) & IFF.UP) !== 0,
      };
    },
  );
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
  const number = Buffer.alloc(4);
  number.writeUInt32LE(namespace.number);
  const attributes = [
    netlinkAttribute(IFLA_NET_NS_FD, number),
    netlinkAttribute(IFLA_IFNAME, Buffer.from(bytesOf(`${name}\0`))),
  ];
  netlinkRequest(
    `move ${device.name}`,
    RTM_NEWLINK,
    0,
    Buffer.concat([linkHeader(device.index, false), ...attributes]),
  );
}

export function bringDeviceUp(device: NetworkDevice): void {
  netlinkRequest(`bring ${device.name} up`, RTM_NEWLINK, 0, linkHeader(device.index, true));
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

/** struct ifinfomsg */
function linkHeader(index: number, up: boolean): Buffer {
  const header = Buffer.alloc(LINK_SIZE);
  header.writeInt32LE(index, 4);
  if (up) {
    header.writeUInt32LE(IFF.UP, 8);
    header.writeUInt32LE(IFF.UP, 12);
  }
  return header;
}
