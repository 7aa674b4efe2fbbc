import { errnoName, errnoText } from "../../base/errno";
import { HakoError } from "../../base/errors";
import { bytesOf } from "../call/bytes";
import { AF, SOCK } from "../call/constants";
import { Fd } from "../call/fd";
import type { Step } from "../call/step";
import { syscall, syscallOn } from "../call/syscall";

/** rtnetlink(7): requests about links and addresses of this thread's network namespace. */

const NETLINK_ROUTE = 0;
const HEADER = 16;
const ATTRIBUTE_HEADER = 4;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 0x1;
const NLM_F_ACK = 0x4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_CREATE_EXCL = 0x600;
export const NLM_F_CREATE = 0x400;
export const NLM_F_CREATE_APPEND = 0xc00;
const [NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END] = [0x10, 0x11];
const BUFFER = 1 << 17;

export interface NetlinkMessage {
  type: number;
  body: Buffer;
}

export interface NetlinkAttribute {
  type: number;
  value: Buffer;
}

function align(length: number): number {
  return (length + 3) & ~3;
}

/** struct rtattr: its length, its type, its value, padded to four bytes. */
export function netlinkAttribute(type: number, value: Uint8Array): Buffer {
  const bytes = Buffer.alloc(align(ATTRIBUTE_HEADER + value.length));
  bytes.writeUInt16LE(ATTRIBUTE_HEADER + value.length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(value, ATTRIBUTE_HEADER);
  return bytes;
}

/** An attribute whose value is a number of 32 bits. */
export function netlinkNumber(type: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value | 0);
  return netlinkAttribute(type, bytes);
}

/** An attribute whose value is a text. */
export function netlinkText(type: number, value: string): Buffer {
  return netlinkAttribute(type, Buffer.from(bytesOf(`${value}\0`)));
}

/** An attribute whose value is attributes. */
export function netlinkNest(type: number, ...parts: readonly Uint8Array[]): Buffer {
  return netlinkAttribute(type, Buffer.concat(parts));
}

export function attributesOf(bytes: Buffer): NetlinkAttribute[] {
  const found: NetlinkAttribute[] = [];
  for (let at = 0; at + ATTRIBUTE_HEADER <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < ATTRIBUTE_HEADER || at + length > bytes.length) break;
    const value = Buffer.from(bytes.subarray(at + ATTRIBUTE_HEADER, at + length));
    found.push({ type: bytes.readUInt16LE(at + 2) & 0x3fff, value });
    at += align(length);
  }
  return found;
}

let given: Fd | undefined;

/** Has requests of an action go by a socket that another process may have opened: they are about the namespace in which it was opened. */
export function withNetlink<T>(socket: Fd, action: () => T): T {
  const before = given;
  given = socket;
  try {
    return action();
  } finally {
    given = before;
  }
}

/** Opens a socket for requests about the network namespace of the process that makes the step. */
export function netlinkSocketStep(): Step {
  return {
    what: "netlink socket",
    call: "socket",
    args: [AF.NETLINK, SOCK.RAW | SOCK.CLOEXEC, NETLINK_ROUTE],
  };
}

/** Makes a request and returns what answers it; a refusal is an error that says `what`. */
export function netlinkRequest(what: string, type: number, flags: number, body: Buffer): NetlinkMessage[] {
  using own =
    given === undefined
      ? new Fd(syscall("socket", AF.NETLINK, SOCK.RAW | SOCK.CLOEXEC, NETLINK_ROUTE))
      : undefined;
  const socket = (given ?? own) as Fd;
  const isDump = (flags & NLM_F_DUMP) === NLM_F_DUMP;
  const message = encoded({ type, flags: flags | (isDump ? 0 : NLM_F_ACK), body });
  syscallOn(what, "write", socket.number, message, message.length);
  const answers: NetlinkMessage[] = [];
  for (;;)
    for (const answer of received(what, socket)) {
      if (answer.type === NLMSG_DONE) return answers;
      if (answer.type !== NLMSG_ERROR) answers.push(answer);
      else if (isDone(what, answer)) return answers;
    }
}

/** A request of several that the kernel does all or none of, and what an error calls it. */
export interface BatchPart {
  what: string;
  type: number;
  flags: number;
  body: Buffer;
}

/** Makes requests of netfilter's by a socket of NETLINK_NETFILTER: all are done, or an error says which is refused (linux/netfilter/nfnetlink.h). */
export function netfilterBatch(socket: Fd, subsystem: number, parts: readonly BatchPart[]): void {
  const limits = Buffer.from([0, 0, 0, subsystem]);
  const message = Buffer.concat([
    encoded({ type: NFNL_MSG_BATCH_BEGIN, flags: 0, body: limits }),
    ...parts.map(({ type, flags, body }, index) => {
      const whole = (subsystem << 8) | type;
      return encoded({ type: whole, flags: flags | NLM_F_ACK, body }, index + 1);
    }),
    encoded({ type: NFNL_MSG_BATCH_END, flags: 0, body: limits }),
  ]);
  const whats = ["batch", ...parts.map(({ what }) => what)];
  syscallOn("netfilter", "write", socket.number, message, message.length);
  for (let done = 0; done < parts.length; )
    for (const answer of received("netfilter", socket)) {
      // behind the errno is the header of the request
      if (isDone(whats[answer.body.readUInt32LE(12)] ?? "netfilter", answer)) done++;
    }
}

function encoded({ type, flags, body }: Omit<BatchPart, "what">, sequence = 0): Buffer {
  const message = Buffer.alloc(align(HEADER + body.length));
  message.writeUInt32LE(HEADER + body.length, 0);
  message.writeUInt16LE(type, 4);
  message.writeUInt16LE(NLM_F_REQUEST | flags, 6);
  message.writeUInt32LE(sequence, 8);
  message.set(body, HEADER);
  return message;
}

function received(what: string, socket: Fd): NetlinkMessage[] {
  const buffer = Buffer.alloc(BUFFER);
  const length = syscallOn(what, "read", socket.number, buffer, buffer.length);
  return messagesIn(buffer.subarray(0, length));
}

/** Whether an answer says that the request was done; if it was refused that is an error. */
function isDone(what: string, { body }: NetlinkMessage): boolean {
  const errno = -body.readInt32LE(0);
  if (errno === 0) return true;
  const message = `netlink ${what}: ${errnoText(errno)}`;
  throw new HakoError({ code: "system", message, errno: errnoName(errno), syscall: "netlink" });
}

function messagesIn(bytes: Buffer): NetlinkMessage[] {
  const found: NetlinkMessage[] = [];
  for (let at = 0; at + HEADER <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    if (length < HEADER || at + length > bytes.length) break;
    found.push({
      type: bytes.readUInt16LE(at + 4),
      body: Buffer.from(bytes.subarray(at + HEADER, at + length)),
    });
    at += align(length);
  }
  return found;
}
