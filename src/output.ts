import { hasErrno } from "./linux/file";
import { writeAll } from "./linux/socket";

/** Writes all of `text` to standard output; a reader that went away ends the output quietly. */
export function print(text: string): void {
  try {
    writeAll(1, text);
  } catch (error) {
    if (!hasErrno(error, "EPIPE")) throw error;
  }
}

export function printJson(value: unknown): void {
  print(`${JSON.stringify(value, null, 2)}\n`);
}

/** A table with runc's layout: columns at least 12 wide, three spaces between. */
export function printTable(header: string[], rows: string[][]): void {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(9, ...all.map((row) => (row[column] ?? "").length)));
  const lines = all.map((row) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd((widths[column] ?? 0) + 3)))
      .join(""),
  );
  print(`${lines.join("\n")}\n`);
}
