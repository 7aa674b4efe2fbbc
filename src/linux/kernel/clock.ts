import { syscall } from "../call/syscall";

/** clock_gettime(2). */
export const CLOCK = { realtime: 0, monotonic: 1 } as const;

/** Milliseconds on the clock that nobody sets, the same in all processes (CLOCK_MONOTONIC). */
export function monotonicMs(): number {
  const time = new BigInt64Array(2);
  syscall("clock_gettime", CLOCK.monotonic, time);
  return Number(time[0]) * 1000 + Number(time[1]) / 1e6;
}

/** Sets the clock of the calendar (CLOCK_REALTIME): milliseconds since 1970. */
export function setRealtime(milliseconds: number): void {
  const seconds = Math.floor(milliseconds / 1000);
  const nanoseconds = Math.floor((milliseconds - 1000 * seconds) * 1e6);
  syscall("clock_settime", CLOCK.realtime, new BigInt64Array([BigInt(seconds), BigInt(nanoseconds)]));
}
