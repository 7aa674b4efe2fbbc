import { hasErrno } from "../file/file";
import {
  attributesOf,
  NLM_F_CREATE_EXCL,
  NLM_F_DUMP,
  netlinkAttribute,
  netlinkNest,
  netlinkRequest,
  netlinkText,
} from "./netlink";
import type { NetworkDevice } from "./network-device";

/**
 * Traffic control (tc(8), linux/pkt_sched.h, linux/pkt_cls.h): all frames that come in at one interface are sent out by another, before the
 * namespace's own protocols see them.
 */

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_GETQDISC = 38;
const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const RTM_GETTFILTER = 46;
const HEADER = 20;
const TC_H_INGRESS = 0xfffffff1;
const INGRESS_HANDLE = 0xffff0000;
/** Where filters of incoming frames are, of the queueing disciplines "ingress" and "clsact". */
const INGRESS_FILTERS = 0xfffffff2;
/** The last in its turn: filters that are there already decide first. */
const PRIORITY = 0xffff;
/** ETH_P_ALL and ETH_P_IP as the network has them. */
const [ALL_PROTOCOLS, IPV4] = [0x0300, 0x0008] as const;
const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_U32_SEL = 5;
/** Of an IPv4 packet's destination. */
const DESTINATION_AT = 16;
const TCA_ACT_KIND = 1;
const TCA_ACT_OPTIONS = 2;
const TCA_ACT_COOKIE = 6;
const TCA_MIRRED_PARMS = 2;
const TC_ACT_STOLEN = 4;
const TCA_EGRESS_REDIR = 1;
/** What tells our filters from others'. */
const COOKIE = Buffer.from("hako machine");

/** Classifiers that match every frame, in the order in which they are tried: a kernel need not have any of them. */
const CLASSIFIERS: readonly { kind: string; match: readonly Buffer[]; action: number }[] = [
  { kind: "u32", match: [netlinkAttribute(TCA_U32_SEL, anyKey())], action: 7 },
  // BPF of old: return -1, one instruction
  {
    kind: "bpf",
    match: [netlinkAttribute(4, Uint8Array.of(1, 0)), netlinkAttribute(5, returnAll())],
    action: 1,
  },
  { kind: "matchall", match: [], action: 2 },
];

/** struct tc_u32_sel with one key, whose mask is nothing; TC_U32_TERMINAL. */
function anyKey(): Buffer {
  const selector = Buffer.alloc(32);
  selector.writeUInt8(1, 0);
  selector.writeUInt8(1, 2);
  return selector;
}

/** struct sock_filter: BPF_RET | BPF_K. */
function returnAll(): Buffer {
  const instruction = Buffer.alloc(8);
  instruction.writeUInt16LE(0x06, 0);
  instruction.writeUInt32LE(0xffffffff, 4);
  return instruction;
}

/** struct tcmsg */
function header(index: number, handle: number, parent: number, info: number): Buffer {
  const bytes = Buffer.alloc(HEADER);
  bytes.writeInt32LE(index, 4);
  bytes.writeUInt32LE(handle, 8);
  bytes.writeUInt32LE(parent, 12);
  bytes.writeUInt32LE(info >>> 0, 16);
  return bytes;
}

function filterHeader(index: number, priority = PRIORITY, protocol: number = ALL_PROTOCOLS): Buffer {
  return header(index, 0, INGRESS_FILTERS, (priority << 16) | protocol);
}

/** struct tc_mirred: index, capabilities, verdict, two counts, what to do, interface. */
function redirection(to: number): Buffer {
  const parameters = Buffer.alloc(28);
  parameters.writeInt32LE(TC_ACT_STOLEN, 8);
  parameters.writeInt32LE(TCA_EGRESS_REDIR, 20);
  parameters.writeInt32LE(to, 24);
  return netlinkNest(
    1,
    netlinkText(TCA_ACT_KIND, "mirred"),
    netlinkNest(TCA_ACT_OPTIONS, netlinkAttribute(TCA_MIRRED_PARMS, parameters)),
    netlinkAttribute(TCA_ACT_COOKIE, COOKIE),
  );
}

/** Whether incoming frames of an interface are classified: by "ingress" or "clsact", which are in the same place. */
export function hasIngress({ index }: NetworkDevice): boolean {
  return netlinkRequest("list queueing disciplines", RTM_GETQDISC, NLM_F_DUMP, header(0, 0, 0, 0)).some(
    ({ body }) => body.readInt32LE(4) === index && body.readUInt32LE(12) === TC_H_INGRESS,
  );
}

/** Has incoming frames of an interface be classified. */
export function addIngress({ index, name }: NetworkDevice): void {
  const kind = netlinkText(TCA_KIND, "ingress");
  const body = Buffer.concat([header(index, INGRESS_HANDLE, TC_H_INGRESS, 0), kind]);
  netlinkRequest(`ingress of ${name}`, RTM_NEWQDISC, NLM_F_CREATE_EXCL, body);
}

/** Ends what `addIngress` began, with all filters. */
export function removeIngress({ index, name }: NetworkDevice): void {
  const body = header(index, INGRESS_HANDLE, TC_H_INGRESS, 0);
  netlinkRequest(`ingress of ${name}`, RTM_DELQDISC, 0, body);
}

/** The filters that send all that comes in at an interface out by another, by their classifiers: the kernel takes one of them. */
export function redirections(from: number, to: number): { kind: string; body: Buffer }[] {
  return CLASSIFIERS.map(({ kind, match, action }) => {
    const options = netlinkNest(TCA_OPTIONS, ...match, netlinkNest(action, redirection(to)));
    return { kind, body: Buffer.concat([filterHeader(from), netlinkText(TCA_KIND, kind), options]) };
  });
}

/** Sends all that comes in at an interface out by another. */
export function redirect(from: NetworkDevice, to: NetworkDevice): void {
  const filters = redirections(from.index, to.index);
  for (const [turn, { kind, body }] of filters.entries())
    try {
      netlinkRequest(`filter ${kind} of ${from.name}`, RTM_NEWTFILTER, NLM_F_CREATE_EXCL, body);
      return;
    } catch (error) {
      // the kernel has no such classifier
      if (!hasErrno(error, "ENOENT") || turn === filters.length - 1) throw error;
    }
}

/** struct tc_u32_sel with one key: a word, and where it is behind the beginning of the packet; TC_U32_TERMINAL. */
function wordKey(word: Uint8Array, offset: number): Buffer {
  const selector = anyKey();
  selector.writeUInt32LE(0xffffffff, 16);
  selector.set(word, 20);
  selector.writeInt32LE(offset, 24);
  return selector;
}

/**
 * Leaves to the namespace's own protocols what comes in at an interface of `redirect` for an IPv4 address. A filter without an action ends the classification.
 * False where the kernel has no classifier for it.
 */
export function keepFor({ index, name }: NetworkDevice, address: Uint8Array): boolean {
  const options = netlinkNest(TCA_OPTIONS, netlinkAttribute(TCA_U32_SEL, wordKey(address, DESTINATION_AT)));
  const body = Buffer.concat([
    filterHeader(index, PRIORITY - 1, IPV4),
    netlinkText(TCA_KIND, "u32"),
    options,
  ]);
  try {
    netlinkRequest(`filter of ${name} for an address`, RTM_NEWTFILTER, NLM_F_CREATE_EXCL, body);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return false;
    // it has one
    if (!hasErrno(error, "EEXIST")) throw error;
  }
  return true;
}

/** Whether an interface has a filter of ours. */
export function isRedirected(device: NetworkDevice): boolean {
  if (!hasIngress(device)) return false;
  const body = header(device.index, 0, INGRESS_FILTERS, 0);
  return netlinkRequest(`filters of ${device.name}`, RTM_GETTFILTER, NLM_F_DUMP, body).some(({ body }) =>
    attributesOf(body.subarray(HEADER)).some(({ value }) => value.includes(COOKIE)),
  );
}

/** Removes the filter of `redirect`. */
export function removeRedirect(from: NetworkDevice): void {
  if (!isRedirected(from)) return;
  netlinkRequest(`filter of ${from.name}`, RTM_DELTFILTER, 0, filterHeader(from.index));
}
