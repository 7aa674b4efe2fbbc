import { HakoError } from "../../base/errors";
import { isPointing, type Memory, withAddresses } from "../call/argument-memory";
import { SIZE } from "../call/constants";
import { LARGEST_PAGE } from "../steps/elf";
import { PREPARED } from "./failed-step";
import { RANGE_AT, RANGE_SIZE } from "./remote-code";
import type { SharedRange } from "./shared-range";

/** Where memory for calls begins in a range; before it are the words of `RANGE` and `PREPARED`. */
const MEMORY_AT = 128;
const ALIGNMENT = 16;
/** The most that one call reads or writes: it may always be less than was asked for. */
export const LARGEST = 1 << 18;

/**
 * What the calls of a remote process point to, in the range that it shares: laid out for each call, at addresses of that process, and
 * used again for the next one.
 */
export class CallMemory {
  /** Where it begins: behind what stays. */
  #begin = MEMORY_AT;
  #end = MEMORY_AT;
  /** How far it was written to since it was last freed. */
  #written = MEMORY_AT;
  /** How many bytes the process has answered. */
  #told = 0;
  readonly #placed = new Map<Memory, number>();

  constructor(private readonly range: SharedRange) {
    const begin = range.words[PREPARED.memory / 4] ?? 0;
    if (begin > MEMORY_AT && begin < RANGE_SIZE) this.#begin = begin;
  }

  get told(): number {
    return this.#told;
  }

  /** Nothing that was placed is needed any more, but what is kept. */
  clear(): void {
    this.#end = this.#begin;
    this.#placed.clear();
  }

  /** What was placed stays there, for whoever serves the range. */
  keep(): void {
    this.#begin = this.#end;
    this.range.words[PREPARED.memory / 4] = this.#begin;
  }

  /**
   * Clears what earlier calls left, which may be the host's, before somebody can look at a process that waits, and gives the
   * pages back.
   */
  free(): void {
    if (this.#written <= this.#begin) return;
    this.range.bytes.fill(0, this.#begin, Math.min(this.#written, roundUp(this.#begin, SIZE.PAGE)));
    this.range.free(roundUp(this.#begin, SIZE.PAGE));
    this.#written = this.#begin;
  }

  /** Puts memory into the range, once for a call, with all that it points to; its address in the process. */
  readonly place = (memory: Memory): number => {
    const known = this.#placed.get(memory);
    if (known !== undefined) return known;
    const bytes = isPointing(memory) ? withAddresses(memory, this.place) : bytesIn(memory);
    const at = this.#room(bytes.length);
    this.range.bytes.set(bytes, at);
    const address = RANGE_AT + at;
    this.#placed.set(memory, address);
    return address;
  };

  /** Puts bytes into the range where a page begins, also of kernels with the largest ones; the offset of them. */
  placePages(bytes: Uint8Array): number {
    this.#end = roundUp(this.#end, LARGEST_PAGE);
    return this.place(bytes) - RANGE_AT;
  }

  /** Room for what a call fills; its address in the process. */
  reserve(memory: Memory): number {
    const bytes = bytesIn(isPointing(memory) ? memory.bytes : memory);
    return RANGE_AT + this.#room(Math.min(bytes.length, LARGEST));
  }

  /**
   * Copies back what a call has written to the memory that it was given; `filled` is the length of that in a buffer that only
   * the call fills.
   */
  giveBack(memory: Memory, address: number, filled: number | undefined): void {
    const own = bytesIn(isPointing(memory) ? memory.bytes : memory);
    const length = filled === undefined ? own.length : Math.max(0, Math.min(filled, own.length));
    const at = address - RANGE_AT;
    this.#told += length;
    own.set(this.range.bytes.subarray(at, at + length));
    if (!isPointing(memory)) return;
    for (const [, to] of memory.pointers) this.giveBack(to, this.#placed.get(to) ?? 0, undefined);
  }

  /** Room for so many bytes; the offset of them. */
  #room(size: number): number {
    const at = roundUp(this.#end, ALIGNMENT);
    if (at + size > RANGE_SIZE) {
      throw new HakoError({ code: "system", message: `a system call with ${size} bytes of memory` });
    }
    this.#end = at + size;
    this.range.reach(this.#end);
    this.#written = Math.max(this.#written, this.#end);
    return at;
  }
}

/** What of memory a call takes that only reads it. */
export function shortenedMemory(memory: Memory): Memory {
  return isPointing(memory) ? memory : bytesIn(memory).subarray(0, LARGEST);
}

function roundUp(value: number, to: number): number {
  return (value + to - 1) & ~(to - 1);
}

function bytesIn(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}
