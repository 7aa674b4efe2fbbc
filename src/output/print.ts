import { hasErrno } from "../linux/file/file";
import { writeAllWaiting } from "../linux/file/stream";

/** The exit status of a command that writes until nobody reads any more: as if SIGPIPE had ended it. */
export const UNREAD = 128 + 13;

/** Writes all of `text` to standard output; false if the reader has gone away, which is no error: to write more is of no use. */
export function print(text: string): boolean {
  return printBytes(text);
}

/** The same with bytes. */
export function printBytes(bytes: Uint8Array | string): boolean {
  try {
    writeAllWaiting(1, bytes);
    return true;
  } catch (error) {
    if (!hasErrno(error, "EPIPE")) throw error;
    return false;
  }
}

export function printJson(value: unknown): void {
  print(`${JSON.stringify(value, null, 2)}\n`);
}
