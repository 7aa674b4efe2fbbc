import { HakoError } from "../../base/errors";
import type { Memory, PointingMemory } from "../call/argument-memory";
import { bytesOf, textOf } from "../call/bytes";
import { MSG } from "../call/constants";
import { type Descriptor, descriptorName, descriptorNumber, Fd } from "../call/fd";
import { callLibc, syscallOn } from "../call/syscall";
import { writeAllWaiting } from "./stream";

/** Messages of unix sockets that pass descriptors (unix(7), SCM_RIGHTS). */

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
/** runc's limit of a name that goes along with a descriptor (4096 with its NUL). */
const MAX_NAME = 4095;
/** The most descriptors that the kernel puts into one message (SCM_MAX_FD); all are received, so that all can be closed. */
export const MAX_FDS = 253;
const MSGHDR_SIZE = 56;
/** Offsets of msg_iov and msg_control. */
const [MSGHDR_IOVEC, MSGHDR_CONTROL] = [16, 32];
const CMSGHDR_SIZE = 16;

/** A struct msghdr with one iovec, and what it points to. */
interface Message {
  memory: PointingMemory;
  header: Uint8Array;
  payload: Uint8Array;
  control: Uint8Array;
}

/**
 * A struct msghdr, which has one layout on every 64-bit little-endian Linux, with glibc and with musl; `room` more bytes follow
 * it.
 */
function message(payload: Uint8Array, control: Uint8Array, room = 0): Message {
  const iovec = new BigUint64Array([0n, BigInt(payload.length)]);
  const header = new Uint8Array(MSGHDR_SIZE + room);
  const view = new DataView(header.buffer);
  view.setBigUint64(24, 1n, true);
  view.setBigUint64(40, BigInt(control.length), true);
  const memory: PointingMemory = {
    bytes: header,
    pointers: [
      [MSGHDR_IOVEC, { bytes: iovec, pointers: [[0, payload]] }],
      [MSGHDR_CONTROL, control],
    ],
  };
  return { memory, header, payload, control };
}

/** A control message that passes descriptors (cmsg(3)). */
function rights(...fds: readonly number[]): Uint8Array {
  const length = CMSGHDR_SIZE + 4 * fds.length;
  const control = new Uint8Array((length + 7) & ~7);
  const view = new DataView(control.buffer);
  view.setBigUint64(0, BigInt(length), true);
  view.setInt32(8, SOL_SOCKET, true);
  view.setInt32(12, SCM_RIGHTS, true);
  fds.forEach((fd, index) => {
    view.setInt32(CMSGHDR_SIZE + 4 * index, fd, true);
  });
  return control;
}

/** Sends a descriptor, with its name as the payload. */
export function sendFd(socket: Descriptor, fd: Descriptor, name: string | Uint8Array): void {
  const payload = typeof name === "string" ? bytesOf(name) : name;
  if (payload.length === 0) throw new HakoError({ code: "config", message: "sendfd: a name is needed" });
  if (payload.length > MAX_NAME)
    throw new HakoError({ code: "config", message: "sendfd: filename too long" });
  send(socket, [fd], payload);
}

/** Sends a message with descriptors. On a stream they go with the first byte; the rest of the payload may have to follow. */
function send(socket: Descriptor, fds: readonly Descriptor[], payload: Uint8Array): void {
  const made = message(payload, rights(...fds.map(descriptorNumber)));
  const sent = callLibc(
    descriptorName(socket),
    "sendmsg",
    descriptorNumber(socket),
    made.memory,
    MSG.NOSIGNAL,
  );
  if (sent < payload.length) writeAllWaiting(socket, payload.subarray(sent));
}

/**
 * Sends descriptors, in as many messages as they need; the receiver must know how many come, and takes them by one call of
 * `recvFds`.
 */
export function sendFds(socket: Descriptor, fds: readonly Descriptor[]): void {
  for (let start = 0; start < fds.length; start += MAX_FDS)
    send(socket, fds.slice(start, start + MAX_FDS), new Uint8Array(1));
}

/** Receives so many descriptors, close-on-exec; fewer when the other side has closed its end. An error when not all could be had. */
export function recvFds(socket: Descriptor, count: number): Fd[] {
  const all: Fd[] = [];
  while (all.length < count) {
    const most = Math.min(count - all.length, MAX_FDS);
    const { length, fds } = receive(socket, 1);
    all.push(...fds);
    if (length === 0) return all;
    if (fds.length === most) continue;
    for (const fd of all) fd.close();
    const why = `receive file descriptors: ${fds.length} of ${most} came`;
    throw new HakoError({ code: "system", message: why, hint: "is the limit of open files too low?" });
  }
  return all;
}

interface Received {
  length: number;
  payload: Uint8Array;
  fds: Fd[];
  flags: number;
}

/** Receives one message, and all descriptors that came with it: at most so many as its control part has room for. */
function receive(socket: Descriptor, size: number, most = MAX_FDS): Received {
  const made = message(new Uint8Array(size), new Uint8Array((CMSGHDR_SIZE + 4 * most + 7) & ~7));
  const length = syscallOn(
    descriptorName(socket),
    "recvmsg",
    descriptorNumber(socket),
    made.memory,
    MSG.CMSG_CLOEXEC,
  );
  const view = new DataView(made.header.buffer);
  const flags = view.getInt32(48, true);
  const fds = receivedFds(made.control, Math.min(Number(view.getBigUint64(40, true)), made.control.length));
  return { length, payload: made.payload.subarray(0, length), fds, flags };
}

/** The descriptors in the control part of a received message; all of them are ours from now on. */
function receivedFds(control: Uint8Array, length: number): Fd[] {
  const view = new DataView(control.buffer, control.byteOffset, control.byteLength);
  const fds: Fd[] = [];
  for (let at = 0; at + CMSGHDR_SIZE <= length; ) {
    const size = Number(view.getBigUint64(at, true));
    if (size < CMSGHDR_SIZE || at + size > length) break;
    if (view.getInt32(at + 8, true) === SOL_SOCKET && view.getInt32(at + 12, true) === SCM_RIGHTS) {
      for (let word = at + CMSGHDR_SIZE; word + 4 <= at + size; word += 4) {
        fds.push(new Fd(view.getInt32(word, true)));
      }
    }
    at += (size + 7) & ~7;
  }
  return fds;
}

/** A message with descriptors, for sendmsg(2) or sendmmsg(2) as a step. */
export function descriptorMessage(...fds: readonly number[]): Memory {
  // struct mmsghdr: a struct msghdr, and room for how much was sent
  return message(new Uint8Array(1), rights(...fds), 8).memory;
}

/** Receives one byte, and the descriptor that may come with it; no byte is the end. */
export function recvByte(socket: Descriptor): { byte: number | undefined; fd: Fd | undefined } {
  const { payload, fds } = receive(socket, 1, 1);
  return { byte: payload[0], fd: fds[0] };
}

/** Receives exactly one descriptor, close-on-exec, and its name. */
export function recvFd(socket: Descriptor): { fd: Fd; name: string } {
  const { length, payload, fds, flags } = receive(socket, MAX_NAME + 1);
  const refuse = (why: string): HakoError => {
    for (const fd of fds) fd.close();
    return new HakoError({ code: "system", message: `receive a file descriptor: ${why}` });
  };
  if ((flags & MSG.CTRUNC) !== 0) throw refuse("the control message was truncated");
  if ((flags & MSG.TRUNC) !== 0 || length > MAX_NAME) throw refuse("the name is too long");
  const [fd] = fds;
  if (fd === undefined)
    throw refuse(length === 0 ? "the other side closed the socket" : "the message has none");
  if (fds.length > 1) throw refuse(`the message has ${fds.length} of them, expected one`);
  return { fd, name: textOf(payload) };
}

/** Receives one message of a seqpacket socket with the descriptors that came along; no data is the end. */
export function recvPacket(socket: Descriptor, limit: number): { data: Uint8Array; fds: Fd[] } {
  const { payload, fds, flags } = receive(socket, limit);
  // a copy: the room for it is many times its size
  if ((flags & (MSG.TRUNC | MSG.CTRUNC)) === 0) return { data: payload.slice(), fds };
  for (const fd of fds) fd.close();
  throw new HakoError({ code: "system", message: `receive a message: it has more than ${limit} bytes` });
}
