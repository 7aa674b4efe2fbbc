import { AF } from "../call/constants";
import type { Fd } from "../call/fd";
import type { InetAddress, InetRange } from "./inet-address";
import {
  NLM_F_CREATE_EXCL,
  netlinkAttribute,
  netlinkNest,
  netlinkNumber,
  netlinkRequest,
  netlinkText,
} from "./netlink";
import type { NetworkDevice } from "./network-device";
import { makeEntry } from "./network-entries";
import {
  IFA_ADDRESS,
  IFA_F_NODAD,
  IFA_F_PERMANENT,
  IFA_LOCAL,
  IFLA_IFNAME,
  IFLA_INFO_KIND,
  IFLA_LINKINFO,
  IFLA_NET_NS_FD,
  LINK_SIZE,
  RTA_DST,
  RTA_GATEWAY,
  RTA_OIF,
  RTM_NEWLINK,
} from "./rtnetlink";

/** Pairs of interfaces (veth(4)), and what leads to them (rtnetlink(7)). */

const [IFLA_INFO_DATA, VETH_INFO_PEER] = [2, 1] as const;
/** Nobody else has it. */
const FLAGS = IFA_F_NODAD | IFA_F_PERMANENT;
const [RT_TABLE_MAIN, RTPROT_STATIC] = [254, 4] as const;
const SCOPE = { universe: 0, host: 254 } as const;
const ROUTE_TYPE = { unicast: 1, local: 2 } as const;

/** Makes an interface of this name, and its other end in another network namespace. */
export function makeVeth(name: string, peer: string, peerNamespace: Fd): void {
  const header = Buffer.alloc(LINK_SIZE);
  const other = [header, netlinkText(IFLA_IFNAME, peer), netlinkNumber(IFLA_NET_NS_FD, peerNamespace.number)];
  const info = netlinkNest(
    IFLA_LINKINFO,
    netlinkText(IFLA_INFO_KIND, "veth"),
    netlinkNest(IFLA_INFO_DATA, netlinkNest(VETH_INFO_PEER, ...other)),
  );
  const body = Buffer.concat([header, netlinkText(IFLA_IFNAME, name), info]);
  netlinkRequest(`veth ${name}`, RTM_NEWLINK, NLM_F_CREATE_EXCL, body);
}

function familyOf(address: InetAddress): number {
  return address.length === 4 ? AF.INET : AF.INET6;
}

/** Gives an interface an address, and a route to the others of its range. */
export function giveAddress({ index }: NetworkDevice, { address, prefix }: InetRange): void {
  const header = Buffer.from([familyOf(address), prefix, FLAGS, SCOPE.universe, 0, 0, 0, 0]);
  header.writeInt32LE(index, 4);
  const own = [netlinkAttribute(IFA_LOCAL, address), netlinkAttribute(IFA_ADDRESS, address)];
  makeEntry({ kind: "address", body: Buffer.concat([header, ...own]) });
}

/** What is in no other route of the main table goes by a gateway. */
export function defaultRoute({ index }: NetworkDevice, gateway: InetAddress): void {
  const by = [netlinkAttribute(RTA_GATEWAY, gateway), netlinkNumber(RTA_OIF, index)];
  const header = routeHeader(familyOf(gateway), 0, SCOPE.universe, ROUTE_TYPE.unicast);
  makeEntry({ kind: "route", body: Buffer.concat([header, ...by]) });
}

/** Every address of a range that is in no other route of the main table is this namespace's own; without a range every one of a family. */
export function localRoute({ index }: NetworkDevice, range: InetRange): void {
  const { address, prefix } = range;
  const header = routeHeader(familyOf(address), prefix, SCOPE.host, ROUTE_TYPE.local);
  const to = prefix === 0 ? [] : [netlinkAttribute(RTA_DST, address)];
  makeEntry({ kind: "route", body: Buffer.concat([header, ...to, netlinkNumber(RTA_OIF, index)]) });
}

/** struct rtmsg */
function routeHeader(family: number, prefix: number, scope: number, type: number): Buffer {
  return Buffer.from([family, prefix, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, scope, type, 0, 0, 0, 0]);
}
