import { parseSignature } from "./signature";
import { alignmentOf, BASIC_SIZES, type BasicCode, type Type, type Value, type Variant } from "./types";

/** The bytes of a message's part, little-endian, as it grows. */
class Writer {
  #buffer = Buffer.alloc(512);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Pads with zero bytes, as the specification demands, up to a multiple of `to`. */
  align(to: number): void {
    this.#room((to - (this.#length % to)) % to);
  }

  /** Makes room for `size` bytes and returns where the room begins. */
  #room(size: number): number {
    const at = this.#length;
    while (at + size > this.#buffer.length) {
      this.#buffer = Buffer.concat([this.#buffer, Buffer.alloc(this.#buffer.length)]);
    }
    this.#length += size;
    return at;
  }

  number(code: BasicCode, value: number | bigint): void {
    const size = BASIC_SIZES[code];
    this.align(size);
    const at = this.#room(size);
    const buffer = this.#buffer;
    if (code === "d") buffer.writeDoubleLE(Number(value), at);
    else if (code === "x") buffer.writeBigInt64LE(BigInt(value), at);
    else if (code === "t") buffer.writeBigUInt64LE(BigInt(value), at);
    else if (code === "n" || code === "i") buffer.writeIntLE(Number(value), at, size);
    else buffer.writeUIntLE(Number(value), at, size);
  }

  text(code: "s" | "o" | "g", value: string): void {
    const bytes = Buffer.from(value);
    this.number(code === "g" ? "y" : "u", bytes.length);
    this.raw(bytes);
    this.#room(1);
  }

  raw(bytes: Uint8Array): void {
    const at = this.#room(bytes.length);
    this.#buffer.set(bytes, at);
  }

  /** Writes an array: its length in bytes, padding (which the length does not count), and then what `write` writes. */
  array(alignment: number, write: () => void): void {
    this.number("u", 0);
    const at = this.#length - 4;
    this.align(alignment);
    const start = this.#length;
    write();
    this.#buffer.writeUInt32LE(this.#length - start, at);
  }
}

function write(writer: Writer, type: Type, value: Value): void {
  if (type.kind === "variant") {
    const { signature, value: inner } = value as Variant;
    const [only, ...more] = parseSignature(signature);
    if (only === undefined || more.length > 0) throw new Error(`"${signature}" is not one type`);
    writer.text("g", signature);
    write(writer, only, inner);
    return;
  }
  if (type.kind === "basic") {
    const { code } = type;
    if (code === "s" || code === "o" || code === "g") writer.text(code, value as string);
    else writer.number(code, code === "b" ? Number(value) : (value as number | bigint));
    return;
  }
  if (type.kind === "struct") {
    writer.align(8);
    type.fields.forEach((field, index) => {
      write(writer, field, (value as readonly Value[])[index] as Value);
    });
    return;
  }
  const { element } = type;
  writer.array(alignmentOf(element), () => {
    if (value instanceof Uint8Array) writer.raw(value);
    else for (const each of value as readonly Value[]) write(writer, element, each);
  });
}

/** The bytes of values, little-endian, in the types that the signature names. */
export function marshal(signature: string, values: readonly Value[]): Buffer {
  const writer = new Writer();
  parseSignature(signature).forEach((type, index) => {
    write(writer, type, values[index] as Value);
  });
  return writer.bytes;
}
