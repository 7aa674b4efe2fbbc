import { ptr } from "bun:ffi";
import { HakoError } from "../../base/errors";
import { bytesOf } from "./bytes";

/** A NUL-terminated C string; a NUL inside is refused, since the kernel would see another path. */
export function cString(text: string): Uint8Array {
  if (text.includes("\0")) {
    throw new HakoError({ code: "config", message: `a string with a NUL byte: ${JSON.stringify(text)}` });
  }
  return bytesOf(`${text}\0`);
}

const encoder = new TextEncoder();
/** Places of texts: as many as most system calls have paths. */
const PLACES = 3;
const PLACE_SIZE = 4096;
/** UTF-16 units, of which one becomes three bytes at most. */
const LONGEST = (PLACE_SIZE - 1) / 3;
const places: { bytes: Uint8Array; at: number }[] = [];

/**
 * Puts a text, NUL-terminated, into the reused buffer of this number, where it stays until the next text comes there; returns
 * its address. undefined for a text that needs `cString`. It takes half the time of `cString`: no new memory, and no question
 * where that is.
 */
export function placedText(number: number, text: string): number | undefined {
  if (number >= PLACES || text.length > LONGEST || !text.isWellFormed() || text.includes("\0"))
    return undefined;
  let place = places[number];
  if (place === undefined) {
    const bytes = new Uint8Array(PLACE_SIZE);
    place = { bytes, at: address(bytes) };
    places[number] = place;
  }
  const { bytes, at } = place;
  bytes[encoder.encodeInto(text, bytes).written] = 0;
  return at;
}

/** The address of a buffer for the kernel; the caller keeps the buffer alive. */
export function address(buffer: ArrayBufferView): number {
  return buffer.byteLength === 0 ? 0 : Number(ptr(buffer as Uint8Array));
}

/** Memory that a system call is given the address of. */
export type Memory = ArrayBufferView | PointingMemory;

export function isPointing(memory: Memory): memory is PointingMemory {
  return "pointers" in memory;
}

/** Memory with addresses of other memory in it: at which offsets, and of what. */
export interface PointingMemory {
  bytes: ArrayBufferView;
  pointers: readonly (readonly [offset: number, to: Memory])[];
}

/** A copy of the bytes with the addresses in it that `place` gives. */
export function withAddresses(
  { bytes, pointers }: PointingMemory,
  place: (memory: Memory) => number,
): Uint8Array {
  const copy = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength).slice();
  fill(wordsOf(copy), pointers, place);
  return copy;
}

/** The address of memory of this process, which the caller keeps alive; addresses in it are filled in. */
export function ownAddress(memory: Memory): number {
  if (!isPointing(memory)) return address(memory);
  const { bytes, pointers } = memory;
  fill(wordsOf(bytes), pointers, ownAddress);
  return address(bytes);
}

function fill(
  words: Int32Array,
  pointers: PointingMemory["pointers"],
  place: (memory: Memory) => number,
): void {
  for (const [offset, to] of pointers) putNumber(words, offset / 8, place(to));
}

/** Memory in halves of words; its length is a multiple of 4. */
function wordsOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Int32Array {
  return new Int32Array(buffer, byteOffset, byteLength / 4);
}

/**
 * Puts a number into a word of 64 bits, by its halves: a bigint would be memory of its own. (The first use of each kind of typed array,
 * of a DataView and of Math takes some 50 us.)
 */
export function putNumber(words: Int32Array, at: number, value: number): void {
  // of a larger one these are the lower bits
  words[2 * at] = value;
  words[2 * at + 1] = (value - (value >>> 0)) / 2 ** 32;
}

/** A NULL-terminated array of C strings, as execve takes it; bytes end with their NUL. */
export function stringVector(texts: readonly (string | Uint8Array)[]): PointingMemory {
  return {
    bytes: new Int32Array(2 * (texts.length + 1)),
    pointers: texts.map((text, index) => [8 * index, typeof text === "string" ? cString(text) : text]),
  };
}

/**
 * A NULL-terminated array of strings that lie one behind the other in `bytes`, each with its NUL, and begin at `starts`, and of
 * one more. The caller keeps the memory of all.
 */
export function ownVector(bytes: Uint8Array, starts: readonly number[], more?: Uint8Array): Int32Array {
  const vector = new Int32Array(2 * (starts.length + 2));
  const first = address(bytes);
  starts.forEach((start, index) => {
    putNumber(vector, index, first + start);
  });
  if (more !== undefined) putNumber(vector, starts.length, address(more));
  return vector;
}
