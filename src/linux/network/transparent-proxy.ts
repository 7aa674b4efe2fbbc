import { asHakoError, type HakoError } from "../../base/errors";
import { AF, SOCK } from "../call/constants";
import type { Fd } from "../call/fd";
import { hasErrno } from "../file/file";
import { setSocketOption } from "./inet-socket";
import {
  type BatchPart,
  NLM_F_CREATE,
  netfilterBatch,
  netlinkAttribute,
  netlinkNest,
  netlinkText,
} from "./netlink";

/**
 * Rules of nf_tables that give whatever comes to a network namespace for any port to one socket, told to the kernel as nft(8) does
 * (linux/netfilter/nf_tables.h, Documentation/networking/tproxy.rst). No address and no port of a packet is changed: a connection's own end is what was
 * called. A redirect would have to remember each connection for minutes after its end (nf_conntrack), and has no place for two that differ in the
 * called port alone.
 */

/** The arguments of socket(2) for what the rules of a network namespace are told by: NETLINK_NETFILTER. */
export const NETFILTER_SOCKET = [AF.NETLINK, SOCK.RAW | SOCK.CLOEXEC, 12] as const;

const NFNL_SUBSYS_NFTABLES = 10;
const [NFT_MSG_NEWTABLE, NFT_MSG_NEWCHAIN, NFT_MSG_NEWRULE] = [0, 3, 6] as const;
const NFTA_TABLE_NAME = 1;
const [NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, NFTA_CHAIN_HOOK, NFTA_CHAIN_TYPE] = [1, 3, 4, 7] as const;
const [NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY] = [1, 2] as const;
const [NFTA_RULE_TABLE, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS] = [1, 2, 4] as const;
const [NFTA_LIST_ELEM, NFTA_EXPR_NAME, NFTA_EXPR_DATA, NFTA_DATA_VALUE] = [1, 1, 2, 1] as const;
const [NFTA_META_DREG, NFTA_META_KEY] = [1, 2] as const;
const [NFTA_CMP_SREG, NFTA_CMP_OP, NFTA_CMP_DATA] = [1, 2, 3] as const;
const [NFTA_IMMEDIATE_DREG, NFTA_IMMEDIATE_DATA] = [1, 2] as const;
const [NFTA_TPROXY_FAMILY, NFTA_TPROXY_REG_PORT] = [1, 3] as const;
const NF_INET_PRE_ROUTING = 0;
/** NF_IP_PRI_MANGLE: before the kernel looks for a packet's socket. */
const PRIORITY = -150;
const [NFT_REG_VERDICT, NFT_REG_1] = [0, 1] as const;
const [NFTA_PAYLOAD_DREG, NFTA_PAYLOAD_BASE, NFTA_PAYLOAD_OFFSET, NFTA_PAYLOAD_LEN] = [1, 2, 3, 4] as const;
const NFT_PAYLOAD_TRANSPORT_HEADER = 2;
const [NFTA_DATA_VERDICT, NFTA_VERDICT_CODE, NF_DROP] = [2, 1, 0] as const;
const NFT_META_L4PROTO = 16;
const NFT_CMP_EQ = 0;

const [TABLE, CHAIN] = ["hako", "prerouting"] as const;
/** TCP and UDP. */
const IPPROTO = [6, 17] as const;
/** Echo requests of ICMP (RFC 792) and ICMPv6 (RFC 4443). */
const ECHO = { [AF.INET]: { protocol: 1, type: 8 }, [AF.INET6]: { protocol: 58, type: 128 } } as const;
const FAMILY_NAMES = { [AF.INET]: "IPv4", [AF.INET6]: "IPv6" } as const;

/** Lets a socket be one that all ports lead to, before it is bound. */
export function makeTransparent(socket: Fd, family: AF.INET | AF.INET6): void {
  setSocketOption(socket, family === AF.INET ? "IP_TRANSPARENT" : "IPV6_TRANSPARENT", 1);
}

/**
 * Leads all ports of TCP and UDP of one family to one, in the network namespace in which a `NETFILTER_SOCKET` was opened. Nobody answers pings there: the
 * kernel would, for each address.
 */
export function catchAllPorts(netfilter: Fd, family: AF.INET | AF.INET6, port: number): void {
  const part = (what: string, type: number, ...attributes: readonly Buffer[]): BatchPart => {
    const body = Buffer.concat([Buffer.from([family, 0, 0, 0]), ...attributes]);
    return { what: `${what} (${FAMILY_NAMES[family]})`, type, flags: NLM_F_CREATE, body };
  };
  const hook = [big32(NFTA_HOOK_HOOKNUM, NF_INET_PRE_ROUTING), big32(NFTA_HOOK_PRIORITY, PRIORITY)];
  const chain = [
    netlinkText(NFTA_CHAIN_TABLE, TABLE),
    netlinkText(NFTA_CHAIN_NAME, CHAIN),
    netlinkNest(NFTA_CHAIN_HOOK, ...hook),
    netlinkText(NFTA_CHAIN_TYPE, "filter"),
  ];
  const place = [netlinkText(NFTA_RULE_TABLE, TABLE), netlinkText(NFTA_RULE_CHAIN, CHAIN)];
  netfilterBatch(netfilter, NFNL_SUBSYS_NFTABLES, [
    part("table", NFT_MSG_NEWTABLE, netlinkText(NFTA_TABLE_NAME, TABLE)),
    part("chain", NFT_MSG_NEWCHAIN, ...chain),
    ...IPPROTO.map((protocol) => {
      const list = netlinkNest(NFTA_RULE_EXPRESSIONS, ...ofProtocol(protocol), ...toSocket(family, port));
      return part("rule with tproxy", NFT_MSG_NEWRULE, ...place, list);
    }),
    part(
      "rule about pings",
      NFT_MSG_NEWRULE,
      ...place,
      netlinkNest(NFTA_RULE_EXPRESSIONS, ...ofProtocol(ECHO[family].protocol), ...dropped(ECHO[family].type)),
    ),
  ]);
}

/** The error that says what is lacking, where that is why `catchAllPorts` or its socket was refused: the kernel has it not, or a security module forbids it. */
export function explainedLack(error: unknown): HakoError | undefined {
  if (!hasErrno(error, "EOPNOTSUPP", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ENOENT", "EACCES", "EPERM"))
    return undefined;
  const refused = asHakoError(error);
  return refused.with({
    code: "unsupported",
    message: `more than a hundred ports need nf_tables with tproxy, which is not to be had here (${refused.message})`,
    hint: "modprobe nft_tproxy, or a kernel with CONFIG_NF_TABLES and CONFIG_NFT_TPROXY; rules for single ports need neither",
  });
}

/** What a packet goes through that is of a protocol. */
function ofProtocol(protocol: number): Buffer[] {
  const meta = [big32(NFTA_META_DREG, NFT_REG_1), big32(NFTA_META_KEY, NFT_META_L4PROTO)];
  return [expression("meta", ...meta), isByte(protocol)];
}

/** Goes on with packets that have this byte in the register. */
function isByte(byte: number): Buffer {
  const data = netlinkNest(NFTA_CMP_DATA, value(Uint8Array.of(byte)));
  return expression("cmp", big32(NFTA_CMP_SREG, NFT_REG_1), big32(NFTA_CMP_OP, NFT_CMP_EQ), data);
}

/** Drops what has this byte at the beginning of what the protocol's header is. */
function dropped(type: number): Buffer[] {
  const first = [big32(NFTA_PAYLOAD_DREG, NFT_REG_1), big32(NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER)];
  const verdict = netlinkNest(NFTA_DATA_VERDICT, big32(NFTA_VERDICT_CODE, NF_DROP));
  return [
    expression("payload", ...first, big32(NFTA_PAYLOAD_OFFSET, 0), big32(NFTA_PAYLOAD_LEN, 1)),
    isByte(type),
    expression(
      "immediate",
      big32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT),
      netlinkNest(NFTA_IMMEDIATE_DATA, verdict),
    ),
  ];
}

/** Gives a packet to the socket of a port. */
function toSocket(family: number, port: number): Buffer[] {
  return [
    expression(
      "immediate",
      big32(NFTA_IMMEDIATE_DREG, NFT_REG_1),
      netlinkNest(NFTA_IMMEDIATE_DATA, value(portBytes(port))),
    ),
    expression("tproxy", big32(NFTA_TPROXY_FAMILY, family), big32(NFTA_TPROXY_REG_PORT, NFT_REG_1)),
  ];
}

function expression(name: string, ...data: readonly Buffer[]): Buffer {
  return netlinkNest(NFTA_LIST_ELEM, netlinkText(NFTA_EXPR_NAME, name), netlinkNest(NFTA_EXPR_DATA, ...data));
}

function value(bytes: Uint8Array): Buffer {
  return netlinkAttribute(NFTA_DATA_VALUE, bytes);
}

/** netfilter's numbers have the network's order of bytes. */
function big32(type: number, number: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(number);
  return netlinkAttribute(type, bytes);
}

function portBytes(port: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(port);
  return bytes;
}
