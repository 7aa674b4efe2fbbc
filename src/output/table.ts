import { printable } from "../base/printable";
import { getWindowSize, isTerminal } from "../linux/terminal/pty";
import { print } from "./print";

/** What a terminal is taken for that doesn't know its own width, as a serial console. */
export const USUAL_WIDTH = 80;
/** No column gets narrower than this on a terminal. */
const LEAST_WIDTH = 12;
/** runc's layout: columns at least 12 wide, three spaces of which stand between them. */
const RUNC = { least: 9, gap: 3 };
/** The layout where a terminal is too narrow for runc's. */
const NARROW = { least: 0, gap: 2 };

/** The columns of the terminal that a descriptor leads to; undefined if it leads elsewhere: nothing is broken or cut there. */
export function terminalWidth(fd: number): number | undefined {
  return isTerminal(fd) ? getWindowSize(fd).width || USUAL_WIDTH : undefined;
}

/** The lines of a text that is broken between words, and in words that are longer than a line. */
export function wrapped(text: string, width: number): string[] {
  if (Bun.stringWidth(text) <= width) return [text];
  return Bun.wrapAnsi(text, width, { hard: true, wordWrap: true, trim: true }).split("\n");
}

/** How a cell that is too wide is shown in one line: without its end, or without its middle. */
export type Shortening = "end" | "middle";

function shortCell(text: string, width: number, shortening: Shortening): string {
  if (Bun.stringWidth(text) <= width) return text;
  const end = shortening === "end" ? 0 : Math.floor((width - 1) / 2);
  return `${Bun.sliceAnsi(text, 0, width - 1 - end)}…${end === 0 ? "" : Bun.sliceAnsi(text, -end)}`;
}

function padded(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - Bun.stringWidth(text)));
}

/**
 * Takes width from the widest of some columns until the excess is gone, or all are as narrow as they may be. Returns what is left
 * of the excess.
 */
function narrow(widths: number[], columns: readonly number[], excess: number): number {
  const widthOf = (column: number) => widths[column] ?? 0;
  for (let left = excess; left > 0; left--) {
    const widest = columns.reduce((one, other) => (widthOf(other) > widthOf(one) ? other : one), -1);
    if (widthOf(widest) <= LEAST_WIDTH) return left;
    widths[widest] = widthOf(widest) - 1;
  }
  return 0;
}

/** Cells side by side, each with as many lines as it has; nothing stands behind the last one of a line. */
function sideBySide(cells: readonly string[][], widths: readonly number[], gap: number): string {
  const height = Math.max(...cells.map((lines) => lines.length));
  return Array.from({ length: height }, (_, line) => {
    const parts = cells.map((lines, column) => padded(lines[line] ?? "", (widths[column] ?? 0) + gap));
    return `${parts.join("").trimEnd()}\n`;
  }).join("");
}

/**
 * A table. With a `width` its lines fit into that: first the columns in `shorten` get narrower, one after the other, and their
 * cells are cut; then the widest of the others, the first column last, whose cells are broken into lines.
 */
export function tableText(
  header: readonly string[],
  rows: readonly string[][],
  width = Number.POSITIVE_INFINITY,
  shorten: Readonly<Record<string, Shortening>> = {},
): string {
  const all = [[...header], ...rows.map((row) => row.map(printable))];
  const natural = header.map((_, column) =>
    Math.max(...all.map((row) => Bun.stringWidth(row[column] ?? ""))),
  );
  const last = header.length - 1;
  const layout = ({ least, gap }: typeof RUNC) => {
    const widths = natural.map((each, column) => (column === last ? each : Math.max(least, each)));
    return { widths, gap, excess: widths.reduce((sum, each) => sum + each, gap * last) - width };
  };
  const wide = layout(RUNC);
  const { widths, gap, excess } = wide.excess > 0 ? layout(NARROW) : wide;
  let left = excess;
  for (const name of Object.keys(shorten)) left = narrow(widths, [header.indexOf(name)], left);
  const others = header.flatMap((name, column) => (shorten[name] === undefined ? [column] : []));
  // what a row is about stays whole as long as it can
  left = narrow(
    widths,
    others.filter((column) => column > 0),
    left,
  );
  narrow(widths, others, left);
  const linesOf = (text: string, column: number): string[] => {
    const most = widths[column] ?? 0;
    const shortening = shorten[header[column] ?? ""];
    return shortening === undefined ? wrapped(text, most) : [shortCell(text, most, shortening)];
  };
  return all.map((row) => sideBySide(row.map(linesOf), widths, gap)).join("");
}

/** Prints a table for people: on a terminal one that fits (see `tableText`). */
export function printTable(
  header: readonly string[],
  rows: readonly string[][],
  shorten?: Readonly<Record<string, Shortening>>,
): void {
  print(tableText(header, rows, terminalWidth(1), shorten));
}

/** Prints a text for people, on a terminal in lines that fit. */
export function printParagraph(text: string): void {
  print(`${wrapped(text, terminalWidth(1) ?? Number.POSITIVE_INFINITY).join("\n")}\n`);
}
