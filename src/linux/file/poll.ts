import type { Fd } from "../call/fd";
import { systemError, trySyscall } from "../call/syscall";

const POLLIN = 0x1;
const POLLPRI = 0x2;

export interface Watched {
  fd: Fd;
  /** "change": a file of a kernel file system such as memory.events that tells of its changes. */
  for: "read" | "change";
}

/** Waits for the first of several descriptors, at most so many milliseconds; which of them are ready (poll(2)). */
export function pollAny(watched: readonly Watched[], milliseconds: number): boolean[] {
  const entries = new Int32Array(2 * watched.length);
  watched.forEach(({ fd, for: what }, index) => {
    entries[2 * index] = fd.number;
    entries[2 * index + 1] = what === "read" ? POLLIN : POLLPRI;
  });
  const whole = Math.max(0, Math.floor(milliseconds));
  const timeout = new BigInt64Array([BigInt(Math.floor(whole / 1000)), BigInt((whole % 1000) * 1_000_000)]);
  const ready = trySyscall("ppoll", entries, watched.length, timeout, null, 8);
  if (ready < 0) {
    const names = watched.map(({ fd }) => fd.name ?? `descriptor ${fd.number}`);
    throw systemError("ppoll", -ready, names.join(", "));
  }
  return watched.map((_, index) => (entries[2 * index + 1] ?? 0) >>> 16 !== 0);
}
