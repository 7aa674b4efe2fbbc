import type { AgentData } from "../drivers/vm/channel/agent-protocol";
import { O } from "../linux/call/constants";
import { syscall, syscallOn } from "../linux/call/syscall";
import { openAt } from "../linux/file/path";
import { setRealtime } from "../linux/kernel/clock";

const RANDOM = "/dev/urandom";
/** include/uapi/linux/random.h */
const [RNDADDENTROPY, RNDRESEEDCRNG] = [0x40085203, 0x5207];
const BITS = 8;

/**
 * Makes the kernel's random numbers others than those of all machines that were restored from the same template: what it has handed out for
 * later use is dropped too (drivers/char/random.c, crng_reseed).
 */
function addEntropy(bytes: Uint8Array): void {
  using file = openAt(undefined, RANDOM, O.WRONLY);
  // struct rand_pool_info
  const info = new Uint8Array(8 + bytes.length);
  const view = new DataView(info.buffer);
  view.setInt32(0, bytes.length * BITS, true);
  view.setInt32(4, bytes.length, true);
  info.set(bytes, 8);
  syscallOn(RANDOM, "ioctl", file.number, RNDADDENTROPY, info);
  syscallOn(RANDOM, "ioctl", file.number, RNDRESEEDCRNG, 0);
}

/** Makes of a machine that was restored from a template one that there is only once. */
export function renew({ entropy, time, hostName }: AgentData<"renew">): void {
  addEntropy(Uint8Array.fromBase64(entropy));
  setRealtime(time);
  syscall("sethostname", hostName, Buffer.byteLength(hostName));
}
