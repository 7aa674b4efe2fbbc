/**
 * What the host's stand-in of a process and the machine's agent say to each other over a port of that process's own. A message is a word of 64
 * bits, little-endian, `number << 8 | type`; behind it come so many bytes where the type is one of data.
 */

/** From the agent. */
export const TO_HOST = {
  /** Data for standard output and standard error. */
  output: 1,
  error: 2,
  /** The process has ended, with this exit status; nothing follows. */
  ended: 3,
  /** As many bytes more of standard input can be taken. */
  credit: 4,
  /** Data that replaces what was told before of what the container has used (figures-text.ts). */
  figures: 5,
  /** The process was stopped by a signal that it was told to stop by. */
  stopped: 6,
} as const;

/** From the stand-in. */
export const TO_GUEST = {
  /** Data of standard input; none is its end. */
  input: 0,
  /** Nobody reads standard output or standard error any more. */
  outputClosed: 1,
  errorClosed: 2,
  /** A signal for the process. */
  signal: 3,
  /** The size of its terminal: rows, and columns << 16. */
  windowSize: 4,
  /** Figures can't be kept any more. */
  figuresClosed: 5,
} as const;

export const HEADER_SIZE = 8;
/** Bytes of standard input that may be under way: a signal never waits behind more of them, and they fit into any socket. */
export const INPUT_WINDOW = 65536;
/** Of a program's output: as much as is in its pipe, which a turn of the agent's costs as much as a byte. */
export const LARGEST_DATA = 1 << 18;

/** What a message of a window's size has as its number. */
export function windowOf(number: number): { width: number; height: number } {
  return { width: (number >>> 16) & 0xffff, height: number & 0xffff };
}

/** The word in front of a message. */
export function frameHeader(type: number, number: number): bigint {
  return (BigInt(number) << 8n) | BigInt(type);
}
