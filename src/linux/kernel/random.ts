import { syscall } from "../call/syscall";

/**
 * Random bytes of the kernel's (getrandom(2)), at most 256. No other source is used in hako: what a runtime's library has in its own memory is the
 * same in all machines that were restored from one template.
 */
export function randomBytes(count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  syscall("getrandom", bytes, count, 0);
  return bytes;
}
