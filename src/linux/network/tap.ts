import { HakoError } from "../../base/errors";
import { bytesOf, textOf } from "../call/bytes";
import { O } from "../call/constants";
import type { Fd } from "../call/fd";
import { syscallOn } from "../call/syscall";
import { hasErrno } from "../file/file";
import { openAt } from "../file/path";

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

/**
 * Makes an interface of this thread's network namespace; "%d" in its name is for the kernel to number. Frames have a header that says what is
 * left to do with them: checksums, and to divide what is larger than a packet.
 */
export function makeTap(pattern: string): Tap {
  const fd = opened();
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

function opened(): Fd {
  try {
    return openAt(undefined, TUN, O.RDWR | O.CLOEXEC);
  } catch (error) {
    if (!hasErrno(error, "ENOENT") && !hasErrno(error, "ENODEV")) throw error;
    throw new HakoError({
      code: "unsupported",
      message: `${TUN} is not there: machines with a network need it`,
      hint: "modprobe tun",
    });
  }
}
