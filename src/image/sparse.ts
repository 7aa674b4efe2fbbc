import { textOf } from "../linux/call/bytes";
import type { Fd } from "../linux/call/fd";
import { syscallOn } from "../linux/call/syscall";
import { brokenMap, checkSparseParts, MOST_PARTS, numberOf } from "./sparse-map";
import type { TarEntry } from "./tar";
import { wrongArchive } from "./wrong";

const BLOCK = 512;
const NEWLINE = 0x0a;

/** A sparse file that is written; undefined for another one. Its map is in its header, or begins its data (GNU tar's manual, "PAX Format"). */
export function sparseFile(fd: Fd, { pax, sparse }: TarEntry): GnuSparseFile | undefined {
  if (sparse !== undefined) return new GnuSparseFile(fd, sparse.size, sparse.parts);
  const text = (keyword: string) => textOf(pax.get(`GNU.sparse.${keyword}`) ?? new Uint8Array());
  if (text("major") === "1" && text("minor") === "0")
    return new GnuSparseFile(fd, numberOf(text("realsize")), undefined);
  if (pax.has("GNU.sparse.map"))
    return new GnuSparseFile(fd, numberOf(text("size")), text("map").split(",").map(numberOf));
  if ([...pax.keys()].some((keyword) => keyword.startsWith("GNU.sparse.")))
    throw wrongArchive("a sparse file of an old format", "tar --sparse --format=posix writes the newer one");
  return undefined;
}

/** A sparse file that is written. Without a map of it the data begin with one, a number a line, padded to a block. */
export class GnuSparseFile {
  readonly #fd: Fd;
  readonly #size: number;
  /** How many parts there are, then an offset and a length of each. */
  readonly #numbers: number[] = [];
  #digits = "";
  #seen = 0;
  /** Where the data of the parts begin; undefined while the map is read. */
  #mapEnd: number | undefined;
  #part = 0;
  #done = 0;

  constructor(fd: Fd, size: number, parts: readonly number[] | undefined) {
    this.#fd = fd;
    this.#size = size;
    if (parts === undefined) return;
    checkSparseParts(parts);
    this.#numbers = [parts.length / 2, ...parts];
    this.#mapEnd = 0;
  }

  write(bytes: Uint8Array): void {
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#mapEnd === undefined) rest = this.#map(rest);
      else if (this.#seen < this.#mapEnd) {
        const length = Math.min(rest.length, this.#mapEnd - this.#seen);
        this.#seen += length;
        rest = rest.subarray(length);
      } else rest = this.#data(rest);
    }
  }

  #map(bytes: Uint8Array): Uint8Array {
    const newline = bytes.indexOf(NEWLINE);
    const part = newline < 0 ? bytes : bytes.subarray(0, newline);
    this.#digits += textOf(part);
    if (this.#digits.length > 20) throw brokenMap();
    this.#seen += part.length + (newline < 0 ? 0 : 1);
    if (newline < 0) return new Uint8Array();
    this.#numbers.push(numberOf(this.#digits));
    this.#digits = "";
    const [parts = 0] = this.#numbers;
    if (parts > MOST_PARTS) throw brokenMap();
    if (this.#numbers.length === 1 + 2 * parts) this.#mapEnd = Math.ceil(this.#seen / BLOCK) * BLOCK;
    return bytes.subarray(newline + 1);
  }

  #data(bytes: Uint8Array): Uint8Array {
    // parts may be empty, as the last one is that says the size
    while (this.#numbers[2 + 2 * this.#part] === 0) this.#part++;
    const offset = this.#numbers[1 + 2 * this.#part];
    const size = this.#numbers[2 + 2 * this.#part];
    if (offset === undefined || size === undefined || offset + size > this.#size) throw brokenMap();
    const part = bytes.subarray(0, size - this.#done);
    for (let written = 0; written < part.length; ) {
      const left = part.subarray(written);
      const at = BigInt(offset + this.#done + written);
      written += syscallOn(this.#fd.name, "pwrite64", this.#fd.number, left, left.length, at);
    }
    this.#done += part.length;
    if (this.#done === size) {
      this.#part++;
      this.#done = 0;
    }
    return bytes.subarray(part.length);
  }

  close(): void {
    if (this.#mapEnd === undefined) throw brokenMap();
    syscallOn(this.#fd.name, "ftruncate", this.#fd.number, this.#size);
  }
}
