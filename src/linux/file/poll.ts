import { POLL } from "../call/constants";
import { type Descriptor, descriptorName, descriptorNumber } from "../call/fd";
import { systemError, trySyscall } from "../call/syscall";

const EVENTS = { read: POLL.IN, write: POLL.OUT, change: POLL.PRI } as const;

export interface Watched {
  fd: Descriptor;
  /** "change": a file of a kernel file system such as memory.events that tells of its changes. */
  for: keyof typeof EVENTS;
}

/** Waits for the first of several descriptors, at most so many milliseconds; which of them are ready, or have ended (poll(2)). */
export function pollAny(watched: readonly Watched[], milliseconds: number): boolean[] {
  const entries = new Int32Array(2 * watched.length);
  watched.forEach(({ fd, for: what }, index) => {
    entries[2 * index] = descriptorNumber(fd);
    entries[2 * index + 1] = EVENTS[what];
  });
  const ready = trySyscall("ppoll", entries, watched.length, timeout(milliseconds), null, 8);
  if (ready < 0) throw systemError("ppoll", -ready, watched.map(({ fd }) => descriptorName(fd)).join(", "));
  return watched.map((_, index) => (entries[2 * index + 1] ?? 0) >>> 16 !== 0);
}

/** Waits until a descriptor can be read or written, or has ended; false after so many milliseconds. */
export function waitFor(fd: Descriptor, what: "read" | "write", milliseconds: number): boolean {
  return pollAny([{ fd, for: what }], milliseconds)[0] === true;
}

/** struct timespec; null, for ever, of an infinite time. */
function timeout(milliseconds: number): BigInt64Array | null {
  if (milliseconds === Number.POSITIVE_INFINITY) return null;
  const whole = Math.max(0, Math.floor(milliseconds));
  return new BigInt64Array([BigInt(Math.floor(whole / 1000)), BigInt((whole % 1000) * 1_000_000)]);
}
