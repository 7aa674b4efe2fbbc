import { errnoNumber } from "../../base/errno";
import { prepared } from "../../base/undo";
import { AF, SOCK } from "../call/constants";
import { type Descriptor, descriptorName, descriptorNumber, Fd } from "../call/fd";
import { syscallOn, systemError, trySyscall } from "../call/syscall";
import { type InetEndpoint, inetEndpointText, unmapped } from "./inet-address";

/** Sockets of TCP and UDP (ip(7), ipv6(7)). None of them waits: `Changes` (file/epoll.ts) tells when there is something to do. */

/** Of which protocol an option is (setsockopt(2)). */
enum LEVEL {
  IP = 0,
  SOCKET = 1,
  TCP = 6,
  IPV6 = 41,
}

/** Options by the names of socket(7), ip(7), ipv6(7) and tcp(7), each with its protocol's number and its own. */
const OPTIONS = {
  SO_REUSEADDR: [LEVEL.SOCKET, 2],
  SO_ERROR: [LEVEL.SOCKET, 4],
  SO_KEEPALIVE: [LEVEL.SOCKET, 9],
  SO_LINGER: [LEVEL.SOCKET, 13],
  IP_TRANSPARENT: [LEVEL.IP, 19],
  IP_RECVORIGDSTADDR: [LEVEL.IP, 20],
  TCP_NODELAY: [LEVEL.TCP, 1],
  TCP_INFO: [LEVEL.TCP, 11],
  IPV6_CHECKSUM: [LEVEL.IPV6, 7],
  IPV6_V6ONLY: [LEVEL.IPV6, 26],
  IPV6_RECVORIGDSTADDR: [LEVEL.IPV6, 74],
  IPV6_TRANSPARENT: [LEVEL.IPV6, 75],
  IPV6_FREEBIND: [LEVEL.IPV6, 78],
} as const;
export type SocketOption = keyof typeof OPTIONS;

/** struct sockaddr_in6; struct sockaddr_in has 16 bytes. */
const SOCKADDR_SIZE = 28;
/** net/tcp_states.h */
const TCP_SYN_SENT = 2;
const [EAGAIN, ECONNABORTED, EINPROGRESS] = (["EAGAIN", "ECONNABORTED", "EINPROGRESS"] as const).map(
  (name) => -errnoNumber(name),
);

/** What the kernel fills in, one call after the other. */
const answered = { address: new Uint8Array(SOCKADDR_SIZE), size: new Int32Array(1) };

/** A struct sockaddr_in or sockaddr_in6. */
export function socketAddress({ address, port }: InetEndpoint): Uint8Array {
  const isFour = address.length === 4;
  const bytes = new Uint8Array(isFour ? 16 : SOCKADDR_SIZE);
  bytes[0] = isFour ? AF.INET : AF.INET6;
  bytes[2] = port >> 8;
  bytes[3] = port & 0xff;
  bytes.set(address, isFour ? 4 : 8);
  return bytes;
}

/** The endpoint that a struct sockaddr_in or sockaddr_in6 has. */
export function endpointOf(bytes: Uint8Array): InetEndpoint {
  const port = ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0);
  const address = bytes[0] === AF.INET ? bytes.slice(4, 8) : unmapped(bytes.slice(8, 24));
  return { address, port };
}

/** A socket of the family that an address belongs to; errors call it by the endpoint. */
export function inetSocket(endpoint: InetEndpoint, type: "stream" | "datagram"): Fd {
  const name = inetEndpointText(endpoint);
  const family = endpoint.address.length === 4 ? AF.INET : AF.INET6;
  const kind = (type === "stream" ? SOCK.STREAM : SOCK.DGRAM) | SOCK.NONBLOCK | SOCK.CLOEXEC;
  return new Fd(syscallOn(name, "socket", family, kind, 0), name);
}

/** Sets an option that is a number, or of which the structure's words are given. */
export function setSocketOption(socket: Descriptor, option: SocketOption, ...value: readonly number[]): void {
  const result = trySocketOption(socket, option, ...value);
  if (result < 0) throw systemError(`setsockopt ${option}`, -result, descriptorName(socket));
}

/** `setSocketOption` where a refusal is no error; 0 or -errno. */
export function trySocketOption(
  socket: Descriptor,
  option: SocketOption,
  ...value: readonly number[]
): number {
  const [level, number] = OPTIONS[option];
  const words = new Int32Array(value);
  return trySyscall("setsockopt", descriptorNumber(socket), level, number, words, words.byteLength);
}

/** The errno of what went wrong with a socket since it was asked last, or 0: what became of a connection (connect(2), EINPROGRESS). */
export function takeSocketError(socket: Descriptor): number {
  const [level, number] = OPTIONS.SO_ERROR;
  const value = new Int32Array(1);
  const size = Int32Array.of(value.byteLength);
  syscallOn(descriptorName(socket), "getsockopt", descriptorNumber(socket), level, number, value, size);
  return value[0] ?? 0;
}

/** Listens at an endpoint, by TCP. One of IPv6 leaves the same port of IPv4 to others. */
export function listenAt(endpoint: InetEndpoint, backlog = 4096): Fd {
  return prepared(inetSocket(endpoint, "stream"), (socket) => listenOn(socket, endpoint, backlog));
}

/** `listenAt` by a socket of the endpoint's family that is there already. */
export function listenOn(socket: Fd, endpoint: InetEndpoint, backlog = 4096): void {
  setSocketOption(socket, "SO_REUSEADDR", 1);
  // connections that are taken have what their listener has
  prepareConnection(socket);
  if (endpoint.address.length === 16) setSocketOption(socket, "IPV6_V6ONLY", 1);
  bindTo(socket, endpoint);
  syscallOn(socket.name, "listen", socket.number, backlog);
}

export function bindTo(socket: Fd, endpoint: InetEndpoint): void {
  const address = socketAddress(endpoint);
  syscallOn(socket.name, "bind", socket.number, address, address.length);
}

/**
 * What is sent in small parts goes in these at once, as its sender did, and no part waits for the other side's acknowledgement of what went before; and a
 * host that has gone is noticed in time (tcp(7)). Not of other sockets than TCP's.
 */
export function prepareConnection(socket: Fd): void {
  trySocketOption(socket, "TCP_NODELAY", 1);
  trySocketOption(socket, "SO_KEEPALIVE", 1);
}

/** Takes a connection that waits at a listener; undefined if none does, or its other end has gone. */
export function acceptAt(listener: Fd): Fd | undefined {
  const number = trySyscall("accept4", listener.number, null, null, SOCK.NONBLOCK | SOCK.CLOEXEC);
  if (number >= 0) return new Fd(number, listener.name);
  if (number === EAGAIN || number === ECONNABORTED) return undefined;
  throw systemError("accept4", -number, listener.name);
}

/**
 * Begins a connection by TCP. When it can be written to, `takeSocketError` tells what became of it. Refusals that are known at once, such as
 * ENETUNREACH, are errors.
 */
export function startConnection(to: InetEndpoint): Fd {
  return prepared(inetSocket(to, "stream"), (socket) => connectTo(socket, to));
}

/** `startConnection` of a socket that is there already; one of datagrams is connected when this comes back. */
export function connectTo(socket: Fd, to: InetEndpoint): void {
  const address = socketAddress(to);
  const result = trySyscall("connect", socket.number, address, address.length);
  if (result < 0 && result !== EINPROGRESS) throw systemError("connect", -result, inetEndpointText(to));
}

/** Whether a connection was begun that the other end has not answered (tcp(7), TCP_INFO). */
export function isConnecting(socket: Descriptor): boolean {
  const [level, number] = OPTIONS.TCP_INFO;
  const info = new Uint8Array(4);
  const size = Int32Array.of(info.length);
  const result = trySyscall("getsockopt", descriptorNumber(socket), level, number, info, size);
  // tcpi_state is the first byte (linux/tcp.h)
  return result === 0 && info[0] === TCP_SYN_SENT;
}

/** The endpoint of a socket's own end (getsockname(2)): which address the other end has called. */
export function localEndpoint(socket: Descriptor): InetEndpoint {
  const { address, size } = answered;
  size[0] = SOCKADDR_SIZE;
  const result = trySyscall("getsockname", descriptorNumber(socket), address, size);
  if (result < 0) throw systemError("getsockname", -result, descriptorName(socket));
  return endpointOf(address);
}
