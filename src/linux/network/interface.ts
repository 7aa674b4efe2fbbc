import { bytesOf } from "../call/bytes";
import { AF, IFF, SOCK } from "../call/constants";
import { Fd } from "../call/fd";
import type { Step } from "../call/step";
import { syscall, syscallOn } from "../call/syscall";
import { hasErrno } from "../file/file";

const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const IFREQ_SIZE = 40;
const FLAGS_OFFSET = 16;

function datagramSocket(): Fd {
  try {
    return new Fd(syscall("socket", AF.INET, SOCK.DGRAM | SOCK.CLOEXEC, 0));
  } catch (error) {
    if (!hasErrno(error, "EAFNOSUPPORT")) throw error;
    return new Fd(syscall("socket", AF.INET6, SOCK.DGRAM | SOCK.CLOEXEC, 0));
  }
}

/** Brings loopback up, in a process whose lowest free descriptor is `number`. */
export function loopbackSteps(number: number): Step[] {
  const request = new Uint8Array(IFREQ_SIZE);
  request.set(bytesOf("lo"));
  new DataView(request.buffer).setUint16(FLAGS_OFFSET, IFF.UP, true);
  return [
    {
      what: "socket",
      call: "socket",
      args: [AF.INET, SOCK.DGRAM | SOCK.CLOEXEC, 0],
      success: { exactly: number },
    },
    { what: "ioctl lo", call: "ioctl", args: [number, SIOCSIFFLAGS, request] },
  ];
}

/** Brings a network interface of this thread's namespace up (netdevice(7)). */
export function bringUp(name: string): void {
  using socket = datagramSocket();
  const request = new DataView(new ArrayBuffer(IFREQ_SIZE));
  new Uint8Array(request.buffer).set(bytesOf(name));
  syscallOn(name, "ioctl", socket.number, SIOCGIFFLAGS, request);
  request.setUint16(FLAGS_OFFSET, request.getUint16(FLAGS_OFFSET, true) | IFF.UP, true);
  syscallOn(name, "ioctl", socket.number, SIOCSIFFLAGS, request);
}

/** The file of a setting of an interface of this thread's namespace, "FAMILY/NAME" (Documentation/networking/ip-sysctl.rst). */
export function linkSetting(interfaceName: string, setting: string): string {
  const [family, name] = setting.split("/");
  return `/proc/sys/net/${family}/conf/${interfaceName}/${name}`;
}
