import { bytesOf, textOf } from "../call/bytes";
import { AT, O } from "../call/constants";
import type { Fd } from "../call/fd";
import type { Step } from "../call/step";
import { syscallOn } from "../call/syscall";

/** Interfaces whose other end is a descriptor (Documentation/networking/tuntap.rst). */

const TUN = "/dev/net/tun";
const TUNSETIFF = 0x400454ca;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFREQ_SIZE = 40;
const NAME_SIZE = 16;

/** The end of a tap that is a descriptor: the interface is there as long as it is open. */
export interface Tap {
  fd: Fd;
  name: string;
}

/** Opens what a tap is made of, which will be in the network namespace of the process that makes the step. */
export function tunStep(): Step {
  return { what: `open ${TUN}`, call: "openat", args: [AT.FDCWD, TUN, O.RDWR | O.CLOEXEC, 0] };
}

/**
 * Makes an interface of the network namespace in which `fd`, which it owns from then on, was opened by `tunStep`; "%d" in its name is for the kernel to number. Frames have a header that says what is
 * left to do with them: checksums, and to divide what is larger than a packet.
 */
export function makeTap(fd: Fd, pattern: string): Tap {
  const request = new Uint8Array(IFREQ_SIZE);
  request.set(bytesOf(pattern));
  new DataView(request.buffer).setUint16(NAME_SIZE, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, true);
  try {
    syscallOn(`tap ${pattern}`, "ioctl", fd.number, TUNSETIFF, request);
  } catch (error) {
    fd.close();
    throw error;
  }
  return { fd, name: textOf(request.subarray(0, NAME_SIZE)).replace(/\0.*/s, "") };
}
