import { errnoNumber } from "../../base/errno";
import type { PointingMemory } from "../call/argument-memory";
import { type AF, MSG, SOCK } from "../call/constants";
import type { Fd } from "../call/fd";
import { syscallOn, systemError, trySyscall } from "../call/syscall";
import type { InetEndpoint } from "./inet-address";
import { endpointOf, setSocketOption, socketAddress } from "./inet-socket";

/**
 * Datagrams of UDP to whatever address and port, each with where it was sent to (ip(7), IP_RECVORIGDSTADDR), and answers that come from there.
 */

const MSGHDR_SIZE = 56;
const CMSGHDR_SIZE = 16;
const ADDRESS_SIZE = 28;
const CONTROL_SIZE = 64;
/** struct udphdr */
const HEADER_SIZE = 8;
const CHECKSUM_OFFSET = 6;
/** The most that a datagram has. */
export const LARGEST_DATAGRAM = 65535;
const [SOL_SOCKET, SO_ATTACH_FILTER] = [1, 26] as const;
/** BPF_RET | BPF_K (linux/bpf_common.h): so many bytes of a packet are taken, none. */
const TAKE_NONE = Uint8Array.of(0x06, 0, 0, 0, 0, 0, 0, 0);
const IPPROTO_UDP = 17;
/** Level and type of the control message that says where a datagram was sent to: a socket's address. */
const CALLED = { v4: [0, 20], v6: [41, 74] } as const;
/** IP_PKTINFO and IPV6_PKTINFO, which say where one comes from; how long it is, and where the address is. */
const SOURCE_V4 = { level: 0, type: 8, size: 12, at: 4 } as const;
const SOURCE_V6 = { level: 41, type: 50, size: 20, at: 0 } as const;
/** Errors of datagrams that were sent before (ICMP), and what goes by itself; EINVAL is an answer to nobody, port 0. */
const PASSING = (
  ["EAGAIN", "ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EMSGSIZE", "ENOBUFS", "EPERM", "EINVAL"] as const
).map((name) => -errnoNumber(name));

export interface Datagram {
  bytes: Uint8Array;
  from: InetEndpoint;
  /** Where it was sent to. */
  to: InetEndpoint;
}

/** Has datagrams come with where they were sent to. */
export function askForDestinations(socket: Fd, isV6: boolean): void {
  setSocketOption(socket, isV6 ? "IPV6_RECVORIGDSTADDR" : "IP_RECVORIGDSTADDR", 1);
}

/** The arguments of socket(2) for one that sends datagrams from any port of any address (raw(7)). */
export function senderSocket(family: AF.INET | AF.INET6): readonly [number, number, number] {
  return [family, SOCK.RAW | SOCK.NONBLOCK | SOCK.CLOEXEC, IPPROTO_UDP];
}

/** Prepares a `senderSocket` for `sendDatagram`. */
export function prepareSender(socket: Fd, isV6: boolean): void {
  // what comes for others would come to it too
  const filter = {
    bytes: Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    pointers: [[8, TAKE_NONE]],
  } as const;
  syscallOn(
    "filter of a raw socket",
    "setsockopt",
    socket.number,
    SOL_SOCKET,
    SO_ATTACH_FILTER,
    filter,
    filter.bytes.length,
  );
  if (!isV6) return;
  setSocketOption(socket, "IPV6_CHECKSUM", CHECKSUM_OFFSET);
  setSocketOption(socket, "IPV6_FREEBIND", 1);
}

/** What is used for each message; one thread makes all calls. */
const buffers = {
  payload: new Uint8Array(LARGEST_DATAGRAM),
  name: new Uint8Array(ADDRESS_SIZE),
  control: new Uint8Array(CONTROL_SIZE),
};

/** struct msghdr */
function message(name: Uint8Array, payload: Uint8Array, control: Uint8Array): PointingMemory {
  const header = new Uint8Array(MSGHDR_SIZE);
  const view = new DataView(header.buffer);
  view.setUint32(8, name.length, true);
  view.setUint32(24, 1, true);
  view.setUint32(40, control.length, true);
  const iovec = new BigUint64Array([0n, BigInt(payload.length)]);
  return {
    bytes: header,
    pointers: [
      [0, name],
      [16, { bytes: iovec, pointers: [[0, payload]] }],
      [32, control],
    ],
  };
}

/** The next datagram; undefined if none waits. */
export function receiveDatagram(socket: Fd): Datagram | undefined {
  const { payload, name, control } = buffers;
  for (;;) {
    const header = message(name, payload, control);
    const length = trySyscall("recvmsg", socket.number, header, MSG.DONTWAIT);
    if (length === -errnoNumber("EAGAIN")) return undefined;
    if (length < 0 && !PASSING.includes(length)) throw systemError("recvmsg", -length, socket.name);
    const to = length < 0 ? undefined : calledIn(control);
    // without the address there is no answer
    if (to !== undefined) return { bytes: payload.slice(0, length), from: endpointOf(name), to };
  }
}

function calledIn(control: Uint8Array): InetEndpoint | undefined {
  const view = new DataView(control.buffer);
  const [level, type] = [view.getInt32(8, true), view.getInt32(12, true)];
  const isCalled = Object.values(CALLED).some((each) => each[0] === level && each[1] === type);
  return isCalled ? endpointOf(control.slice(CMSGHDR_SIZE)) : undefined;
}

/** Sends a datagram as one that comes from an address and a port of this host's; one that can't be sent is lost, as datagrams are. */
export function sendDatagram(sender: Fd, bytes: Uint8Array, from: InetEndpoint, to: InetEndpoint): void {
  const row = from.address.length === 4 ? SOURCE_V4 : SOURCE_V6;
  const control = new Uint8Array((CMSGHDR_SIZE + row.size + 7) & ~7);
  const view = new DataView(control.buffer);
  view.setUint32(0, CMSGHDR_SIZE + row.size, true);
  view.setInt32(8, row.level, true);
  view.setInt32(12, row.type, true);
  control.set(from.address, CMSGHDR_SIZE + row.at);
  const packet = new Uint8Array(HEADER_SIZE + bytes.length);
  const header = new DataView(packet.buffer);
  header.setUint16(0, from.port);
  header.setUint16(2, to.port);
  header.setUint16(4, packet.length);
  packet.set(bytes, HEADER_SIZE);
  // of a raw socket there is no port
  const name = socketAddress({ address: to.address, port: 0 });
  const sent = trySyscall("sendmsg", sender.number, message(name, packet, control), MSG.NOSIGNAL);
  if (sent < 0 && !PASSING.includes(sent)) throw systemError("sendmsg", -sent, sender.name);
}

/** Sends bytes by a connected socket of datagrams; what can't be sent is lost. */
export function sendConnected(socket: Fd, bytes: Uint8Array): void {
  const sent = trySyscall("sendto", socket.number, bytes, bytes.length, MSG.NOSIGNAL, null, 0);
  if (sent < 0 && !PASSING.includes(sent)) throw systemError("sendto", -sent, socket.name);
}

/** The next datagram of a connected socket; undefined if none waits. */
export function receiveConnected(socket: Fd): Uint8Array | undefined {
  const { payload } = buffers;
  for (;;) {
    const length = trySyscall("recvfrom", socket.number, payload, payload.length, MSG.DONTWAIT, null, null);
    if (length === -errnoNumber("EAGAIN")) return undefined;
    if (length >= 0) return payload.slice(0, length);
    if (!PASSING.includes(length)) throw systemError("recvfrom", -length, socket.name);
  }
}
