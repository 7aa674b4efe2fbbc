import { printable } from "../base/printable";
import { hasErrno } from "../linux/file/file";
import { writeAllWaiting } from "../linux/file/stream";

/** The exit status of a command that writes until nobody reads any more: as if SIGPIPE had ended it. */
export const UNREAD = 128 + 13;

/** Writes all of `text` to standard output; false if the reader has gone away, which is no error: to write more is of no use. */
export function print(text: string): boolean {
  try {
    writeAllWaiting(1, text);
    return true;
  } catch (error) {
    if (!hasErrno(error, "EPIPE")) throw error;
    return false;
  }
}

export function printJson(value: unknown): void {
  print(`${JSON.stringify(value, null, 2)}\n`);
}

/** A table with runc's layout: columns at least 12 wide, three spaces between. */
export function printTable(header: string[], rows: string[][]): void {
  const all = [header, ...rows.map((row) => row.map(printable))];
  const widths = header.map((_, column) => Math.max(9, ...all.map((row) => (row[column] ?? "").length)));
  const lines = all.map((row) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd((widths[column] ?? 0) + 3)))
      .join(""),
  );
  print(`${lines.join("\n")}\n`);
}
