import { errnoNumber } from "../../base/errno";
import { HakoError } from "../../base/errors";
import { bytesOf, concatenated, textOf } from "../call/bytes";
import { Fd } from "../call/fd";
import type { Memory, PointingMemory } from "../call/memory";
import { callLibc, syscallOn, systemError, trySyscall } from "../call/syscall";
import { basename, dirname } from "./path-text";

const AF_UNIX = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const SOCKET_TYPES = { stream: 1, dgram: 2, seqpacket: 5 } as const;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 0x8;
const MSG_TRUNC = 0x20;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const O_DIRECTORY_PATH = 0o10000000 | (process.arch === "arm64" ? 0o40000 : 0o200000) | 0o2000000; // O_PATH|O_DIRECTORY|O_CLOEXEC
const AT_FDCWD = -100;
/** sun_path is 108 bytes with its NUL. */
const MAX_SUN_PATH = 107;
/** runc's limit of a name that goes along with a descriptor (4096 with its NUL). */
const MAX_NAME = 4095;
/** The most descriptors that the kernel puts into one message (SCM_MAX_FD); all are received, so that all can be closed. */
const MAX_FDS = 253;
const MSGHDR_SIZE = 56;
/** Offsets of msg_iov and msg_control. */
const [MSGHDR_IOVEC, MSGHDR_CONTROL] = [16, 32];
const CMSGHDR_SIZE = 16;
const LONGEST_PAUSE_MS = 50;

export type SocketType = keyof typeof SOCKET_TYPES;
type Descriptor = Fd | number;

function numberOf(fd: Descriptor): number {
  return typeof fd === "number" ? fd : fd.number;
}

function nameOf(fd: Descriptor): string {
  return (typeof fd === "number" ? undefined : fd.name) ?? `descriptor ${numberOf(fd)}`;
}

/** Two connected unix sockets, both close-on-exec; errors call them by `name`. */
export function socketPair(name: string, type: SocketType = "stream"): [Fd, Fd] {
  const pair = new Int32Array(2);
  syscallOn(name, "socketpair", AF_UNIX, SOCKET_TYPES[type] | SOCK_CLOEXEC, 0, pair);
  return [new Fd(pair[0] ?? -1, name), new Fd(pair[1] ?? -1, name)];
}

function unixSocket(path: string, type: SocketType, flags = 0): Fd {
  return new Fd(syscallOn(path, "socket", AF_UNIX, SOCKET_TYPES[type] | SOCK_CLOEXEC | flags, 0), path);
}

/**
 * Calls `use` with the socket's sockaddr_un. A path that is too long for it is reached through the opened directory,
 * so only its last component has a limit. "@NAME" is an abstract name, as everywhere (unix(7)).
 */
function withAddress(path: string, use: (sockaddr: Uint8Array) => number, call: string): void {
  if (path === "" || path.includes("\0")) {
    throw new HakoError({
      code: "config",
      message: `${JSON.stringify(path)} is not a path of a unix socket`,
    });
  }
  let short = path;
  let directory: Fd | undefined;
  const isAbstract = path.startsWith("@");
  if (!isAbstract && bytesOf(path).length > MAX_SUN_PATH) {
    const parent = dirname(path);
    directory = new Fd(syscallOn(parent, "openat", AT_FDCWD, parent, O_DIRECTORY_PATH, 0));
    short = `${directory.path}/${basename(path)}`;
  }
  try {
    const bytes = bytesOf(short);
    if (bytes.length > MAX_SUN_PATH) throw systemError(call, "ENAMETOOLONG", path);
    // an abstract name begins with a NUL and has none at its end
    const sockaddr = new Uint8Array(2 + bytes.length + (isAbstract ? 0 : 1));
    new DataView(sockaddr.buffer).setUint16(0, AF_UNIX, true);
    sockaddr.set(bytes, 2);
    if (isAbstract) sockaddr[2] = 0;
    const result = use(sockaddr);
    if (result < 0) throw systemError(call, -result, path);
  } finally {
    directory?.close();
  }
}

/** A unix socket at `path`, which must not exist yet; `mode` is narrowed by the umask. */
export function unixBind(path: string, mode: number, type: SocketType): Fd {
  const fd = unixSocket(path, type);
  try {
    // Before bind the mode belongs to the socket's own inode, and bind makes the file with it: never a moment too open.
    syscallOn(path, "fchmod", fd.number, mode);
    withAddress(path, (sockaddr) => trySyscall("bind", fd.number, sockaddr, sockaddr.length), "bind");
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}

/** Makes a unix socket at a path, as `unixBind` does, and listens at it. */
export function unixListen(path: string, mode = 0o600, type: SocketType = "stream"): Fd {
  const fd = unixBind(path, mode, type);
  try {
    syscallOn(path, "listen", fd.number, 128);
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}

/** A unix socket that is connected to the one at `path`. */
export function unixConnect(path: string, type: SocketType = "stream"): Fd {
  const fd = unixSocket(path, type);
  try {
    withAddress(path, (sockaddr) => trySyscall("connect", fd.number, sockaddr, sockaddr.length), "connect");
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}

/**
 * A non-blocking unix socket that is connected to the one at a path. A server whose queue of connections is full is asked
 * again for so many milliseconds.
 */
export function unixConnectWithin(path: string, milliseconds: number): Fd {
  const fd = unixSocket(path, "stream", SOCK_NONBLOCK);
  const deadline = Date.now() + milliseconds;
  const connect = (sockaddr: Uint8Array): number => {
    for (let pause = 1; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      const result = trySyscall("connect", fd.number, sockaddr, sockaddr.length);
      if (-result !== errnoNumber("EAGAIN") || Date.now() > deadline) return result;
      Bun.sleepSync(pause);
    }
  };
  try {
    withAddress(path, connect, "connect");
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}

/** Waits for a connection and takes it. */
export function accept(listener: Descriptor): Fd {
  const name = nameOf(listener);
  return new Fd(syscallOn(name, "accept4", numberOf(listener), null, null, SOCK_CLOEXEC), name);
}

/** A struct msghdr with one iovec, and what it points to. */
interface Message {
  memory: PointingMemory;
  header: Uint8Array;
  payload: Uint8Array;
  control: Uint8Array;
}

/** The same bytes on every 64-bit little-endian Linux, glibc or musl; `room` more follow. */
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
  const made = message(payload, rights(...fds.map(numberOf)));
  const sent = callLibc(nameOf(socket), "sendmsg", numberOf(socket), made.memory, MSG_NOSIGNAL);
  if (sent < payload.length) writeAll(socket, payload.subarray(sent));
}

/** Sends descriptors to somebody who knows how many come, and takes these and no others with one call of `recvFds`. */
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
  const length = syscallOn(nameOf(socket), "recvmsg", numberOf(socket), made.memory, MSG_CMSG_CLOEXEC);
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

/** The parts of a message with a descriptor, for a sendmsg(2) or sendmmsg(2) that somebody else makes. */
export function descriptorMessage(fd: number): Memory {
  // struct mmsghdr: a struct msghdr, and room for how much was sent
  return message(new Uint8Array(1), rights(fd), 8).memory;
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
  if ((flags & MSG_CTRUNC) !== 0) throw refuse("the control message was truncated");
  if ((flags & MSG_TRUNC) !== 0 || length > MAX_NAME) throw refuse("the name is too long");
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
  if ((flags & (MSG_TRUNC | MSG_CTRUNC)) === 0) return { data: payload.slice(), fds };
  for (const fd of fds) fd.close();
  throw new HakoError({ code: "system", message: `receive a message: it has more than ${limit} bytes` });
}

/** Reads what is there, at most `limit` bytes; nothing means the end. Waits for a non-blocking descriptor too. */
export function readSome(fd: Descriptor, limit = 65536): Uint8Array<ArrayBuffer> {
  const buffer = new Uint8Array(limit);
  for (;;) {
    const length = trySyscall("read", numberOf(fd), buffer, limit);
    if (length >= 0) return buffer.subarray(0, length);
    if (-length !== errnoNumber("EAGAIN")) throw systemError("read", -length, nameOf(fd));
    waitFor(fd, "read", -1);
  }
}

/** Reads up to the end; more than `limit` bytes are an error. */
export function readAll(fd: Descriptor, limit = 16 << 20): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  for (let total = 0; ; ) {
    const part = readSome(fd);
    if (part.length === 0) return concatenated(parts);
    total += part.length;
    if (total > limit) {
      throw new HakoError({ code: "system", message: `read: more than ${limit} bytes` });
    }
    parts.push(part);
  }
}

/** Writes all of it, waiting as long as the other side takes. */
export function writeAll(fd: Descriptor, data: Uint8Array | string): void {
  const bytes = typeof data === "string" ? bytesOf(data) : data;
  for (let done = 0; done < bytes.length; ) {
    const rest = bytes.subarray(done);
    const length = trySyscall("write", numberOf(fd), rest, rest.length);
    if (length >= 0) done += length;
    else if (-length === errnoNumber("EAGAIN")) waitFor(fd, "write", -1);
    else throw systemError("write", -length, nameOf(fd));
  }
}

const POLL_EVENTS = { read: 0x1, write: 0x4 } as const;

/** Waits until a descriptor can be read or written (or has ended); false after `milliseconds`, -1 waits for ever. */
export function waitFor(fd: Descriptor, what: keyof typeof POLL_EVENTS, milliseconds: number): boolean {
  const pollfd = new Int32Array([numberOf(fd), POLL_EVENTS[what]]);
  const timeout =
    milliseconds < 0
      ? null
      : new BigInt64Array([
          BigInt(Math.floor(milliseconds / 1000)),
          BigInt((milliseconds % 1000) * 1_000_000),
        ]);
  const ready = trySyscall("ppoll", pollfd, 1, timeout, null, 8);
  if (ready < 0) throw systemError("ppoll", -ready, nameOf(fd));
  return ready > 0;
}
