import { HakoError } from "../base/errors";
import { parseSignature } from "./signature";
import { alignmentOf, BASIC_SIZES, type BasicCode, type Type, type Value } from "./types";

function broken(): HakoError {
  return new HakoError({ code: "system", message: "a D-Bus message is broken" });
}

/** Reads values from the bytes of a message; nothing outside of them. */
class Reader {
  #at = 0;

  constructor(
    private readonly bytes: Buffer,
    private readonly littleEndian: boolean,
  ) {}

  align(to: number): void {
    this.#at += (to - (this.#at % to)) % to;
  }

  #take(size: number): number {
    const at = this.#at;
    if (at + size > this.bytes.length) throw broken();
    this.#at += size;
    return at;
  }

  number(code: BasicCode): number | bigint {
    const size = BASIC_SIZES[code];
    this.align(size);
    const at = this.#take(size);
    const { bytes, littleEndian: little } = this;
    if (code === "d") return little ? bytes.readDoubleLE(at) : bytes.readDoubleBE(at);
    if (code === "x") return little ? bytes.readBigInt64LE(at) : bytes.readBigInt64BE(at);
    if (code === "t") return little ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at);
    const signed = code === "n" || code === "i";
    if (little) return signed ? bytes.readIntLE(at, size) : bytes.readUIntLE(at, size);
    return signed ? bytes.readIntBE(at, size) : bytes.readUIntBE(at, size);
  }

  text(code: "s" | "o" | "g"): string {
    const length = Number(this.number(code === "g" ? "y" : "u"));
    const at = this.#take(length + 1);
    return this.bytes.toString("utf8", at, at + length);
  }

  array(element: Type): Value {
    const length = Number(this.number("u"));
    this.align(alignmentOf(element));
    const end = this.#at + length;
    if (end > this.bytes.length) throw broken();
    if (element.kind === "basic" && element.code === "y") {
      return new Uint8Array(this.bytes.subarray(this.#take(length), end));
    }
    const values: Value[] = [];
    while (this.#at < end) values.push(this.value(element));
    if (this.#at !== end) throw broken();
    return values;
  }

  value(type: Type): Value {
    if (type.kind === "variant") {
      const signature = this.text("g");
      const [only, ...more] = parseSignature(signature);
      if (only === undefined || more.length > 0) throw broken();
      return { signature, value: this.value(only) };
    }
    if (type.kind === "array") return this.array(type.element);
    if (type.kind === "struct") {
      this.align(8);
      return type.fields.map((field) => this.value(field));
    }
    const { code } = type;
    if (code === "s" || code === "o" || code === "g") return this.text(code);
    const number = this.number(code);
    return code === "b" ? number !== 0 : number;
  }
}

/** The values in bytes whose signature is known. */
export function unmarshal(signature: string, bytes: Buffer, littleEndian: boolean): Value[] {
  const reader = new Reader(bytes, littleEndian);
  return parseSignature(signature).map((type) => reader.value(type));
}
