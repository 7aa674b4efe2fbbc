import { errnoNumber } from "../../base/errno";
import type { PointingMemory } from "../call/argument-memory";
import { MSG } from "../call/constants";
import type { Fd } from "../call/fd";
import { systemError, trySyscall } from "../call/syscall";
import type { InetAddress, InetEndpoint } from "./inet-address";
import { endpointOf, setSocketOption, socketAddress } from "./inet-socket";

/**
 * Datagrams of UDP at a socket that is not bound to one address, with the address that each was sent to, from which the answer has to come
 * (ip(7), IP_PKTINFO; ipv6(7), IPV6_PKTINFO).
 */

const MSGHDR_SIZE = 56;
const CMSGHDR_SIZE = 16;
const ADDRESS_SIZE = 28;
const CONTROL_SIZE = 64;
/** The most that a datagram has. */
export const LARGEST_DATAGRAM = 65535;
/** Level and type of the control message of each family; how long it is; where the address is that was called, and the one that answers. */
const OF_V4 = { level: 0, type: 8, size: 12, called: 8, source: 4 } as const;
const OF_V6 = { level: 41, type: 50, size: 20, called: 0, source: 0 } as const;
/** Errors of datagrams that were sent before (ICMP), and what goes by itself; EINVAL is an answer to nobody, port 0. */
const PASSING = (
  ["EAGAIN", "ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EMSGSIZE", "ENOBUFS", "EPERM", "EINVAL"] as const
).map((name) => -errnoNumber(name));

export interface Datagram {
  bytes: Uint8Array;
  from: InetEndpoint;
  /** The address that it was sent to. */
  to: InetAddress;
}

/** Has datagrams come with the address that they were sent to. */
export function askForDestinations(socket: Fd, isV6: boolean): void {
  setSocketOption(socket, isV6 ? "IPV6_RECVPKTINFO" : "IP_PKTINFO", 1);
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

function calledIn(control: Uint8Array): InetAddress | undefined {
  const view = new DataView(control.buffer);
  const [level, type] = [view.getInt32(8, true), view.getInt32(12, true)];
  const row = [OF_V4, OF_V6].find((each) => each.level === level && each.type === type);
  if (row === undefined) return undefined;
  const start = CMSGHDR_SIZE + row.called;
  return control.slice(start, start + (row === OF_V4 ? 4 : 16));
}

/** Sends a datagram as one that comes from an address of this host's; one that can't be sent is lost, as datagrams are. */
export function sendDatagram(socket: Fd, bytes: Uint8Array, from: InetAddress, to: InetEndpoint): void {
  const row = from.length === 4 ? OF_V4 : OF_V6;
  const control = new Uint8Array((CMSGHDR_SIZE + row.size + 7) & ~7);
  const view = new DataView(control.buffer);
  view.setUint32(0, CMSGHDR_SIZE + row.size, true);
  view.setInt32(8, row.level, true);
  view.setInt32(12, row.type, true);
  control.set(from, CMSGHDR_SIZE + row.source);
  const sent = trySyscall("sendmsg", socket.number, message(socketAddress(to), bytes, control), MSG.NOSIGNAL);
  if (sent < 0 && !PASSING.includes(sent)) throw systemError("sendmsg", -sent, socket.name);
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
