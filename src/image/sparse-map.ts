import { textOf } from "../linux/call/bytes";
import { wrongArchive } from "./wrong";

/** Of a map's numbers; each has its line. */
export const MOST_PARTS = 1 << 20;

/** A sparse file: its size, and where in it the data of each part belong. */
export interface SparseMap {
  size: number;
  /** An offset and a length in turn. */
  parts: readonly number[];
}

/** Parts of a header in GNU tar's old format: of the first one, and of each block that goes on with it (tar(5), "GNU tar archives"). */
const OLD_PARTS = { first: [386, 4], more: [0, 21] } as const;
const OLD_GOES_ON = { first: 482, more: 504 } as const;
const OLD_SIZE = 483;
const OLD_DIGITS = 12;

/** The parts that a block of an old header names, and whether another block follows. */
export function oldSparseParts(
  block: Uint8Array,
  which: "first" | "more",
): { parts: number[]; goesOn: boolean } {
  const [begin, count] = OLD_PARTS[which];
  const numbers = Array.from({ length: 2 * count }, (_, index) =>
    oldNumber(block, begin + index * OLD_DIGITS),
  );
  // the first empty pair of fields ends them
  const end = numbers.findIndex((each, index) => index % 2 === 0 && each === undefined);
  const parts = numbers.slice(0, end < 0 ? undefined : end).map((each) => each ?? 0);
  return { parts, goesOn: block[OLD_GOES_ON[which]] !== 0 };
}

export function oldSparseSize(block: Uint8Array): number {
  return oldNumber(block, OLD_SIZE) ?? 0;
}

/** Octal digits, or where the first bit says so a number of bytes; undefined for an empty field. */
function oldNumber(block: Uint8Array, at: number): number | undefined {
  const field = block.subarray(at, at + OLD_DIGITS);
  if (field[0] === 0x80)
    return numberOf(String(field.subarray(1).reduce((sum, byte) => sum * 256 + byte, 0)));
  const [digits = ""] = /^[^\0]*/.exec(textOf(field)) ?? [];
  const text = digits.trim();
  if (text === "") return undefined;
  if (!/^[0-7]+$/.test(text)) throw brokenMap();
  return Number.parseInt(text, 8);
}

export function checkSparseParts(parts: readonly number[]): void {
  if (parts.length > 2 * MOST_PARTS || parts.length % 2 !== 0) throw brokenMap();
}

export function numberOf(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw brokenMap();
  return Number(text);
}

export function brokenMap() {
  return wrongArchive("the map of a sparse file is broken");
}
