import { HakoError } from "../../base/errors";
import { parseSignature } from "../../dbus/signature";
import type { Type, Value, Variant } from "../../dbus/types";

/** Type names that may stand before a value, and their codes. */
const KEYWORDS: Readonly<Record<string, string>> = {
  boolean: "b",
  byte: "y",
  int16: "n",
  uint16: "q",
  int32: "i",
  uint32: "u",
  int64: "x",
  uint64: "t",
  double: "d",
  string: "s",
  objectpath: "o",
  signature: "g",
};

/** Whole numbers: the least and the greatest of each type. */
const RANGES: Readonly<Record<string, readonly [bigint, bigint]>> = {
  y: [0n, 2n ** 8n - 1n],
  n: [-(2n ** 15n), 2n ** 15n - 1n],
  q: [0n, 2n ** 16n - 1n],
  i: [-(2n ** 31n), 2n ** 31n - 1n],
  u: [0n, 2n ** 32n - 1n],
  x: [-(2n ** 63n), 2n ** 63n - 1n],
  t: [0n, 2n ** 64n - 1n],
};

/** Escapes that stand for another character than their letter. */
const ESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

function wrong(why: string): HakoError {
  return new HakoError({
    code: "config",
    message: why,
    hint: `GVariant's text format: 'text', true, 7, uint64 7, ['a', 'b']`,
  });
}

/** A value before its type is settled. Without a type of its own it takes the expected one, or GVariant's default. */
type Node =
  | { kind: "number"; text: string }
  | { kind: "text"; text: string }
  | { kind: "flag"; value: boolean }
  | { kind: "list"; items: Node[] }
  | { kind: "tuple"; items: Node[] }
  | { kind: "variant"; inner: Node }
  | { kind: "typed"; signature: string; inner: Node };

/** Reads the words of the text. */
class Parser {
  #at = 0;

  constructor(private readonly source: string) {}

  whole(): Node {
    const node = this.#node();
    if (this.#peek() !== "") throw wrong(`${JSON.stringify(this.source.slice(this.#at))} follows the value`);
    return node;
  }

  #peek(): string {
    while (/\s/.test(this.source[this.#at] ?? "")) this.#at++;
    return this.source[this.#at] ?? "";
  }

  #word(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.source)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }

  #node(): Node {
    const next = this.#peek();
    if (next === "'" || next === '"') return { kind: "text", text: this.#text(next) };
    if (next === "[") return { kind: "list", items: this.#items("]") };
    if (next === "(") return { kind: "tuple", items: this.#items(")") };
    if (next === "<") {
      this.#at++;
      const inner = this.#node();
      if (this.#peek() !== ">") throw wrong(`a "<" has no ">"`);
      this.#at++;
      return { kind: "variant", inner };
    }
    if (next === "@") {
      this.#at++;
      const signature = this.#word(/[^\s]+/y);
      return { kind: "typed", signature, inner: this.#node() };
    }
    const word = this.#word(/[^\s,\])>'"]+/y);
    if (word === "true" || word === "false") return { kind: "flag", value: word === "true" };
    const signature = KEYWORDS[word];
    if (signature !== undefined) return { kind: "typed", signature, inner: this.#node() };
    if (/^[+-]?\d/.test(word)) return { kind: "number", text: word };
    throw wrong(word === "" ? "the value is empty" : `${JSON.stringify(word)} is no value`);
  }

  #items(end: string): Node[] {
    this.#at++;
    const items: Node[] = [];
    while (this.#peek() !== end) {
      items.push(this.#node());
      if (this.#peek() === ",") this.#at++;
      else if (this.#peek() !== end) throw wrong(`"${end}" is missing`);
    }
    this.#at++;
    return items;
  }

  #text(quote: string): string {
    let text = "";
    for (this.#at++; ; this.#at++) {
      const letter = this.source[this.#at];
      if (letter === undefined) throw wrong(`a ${quote} is missing`);
      if (letter === quote) break;
      if (letter !== "\\") text += letter;
      else text += this.#escape(this.source[++this.#at] ?? "");
    }
    this.#at++;
    return text;
  }

  #escape(letter: string): string {
    const digits = letter === "u" ? 4 : letter === "U" ? 8 : 0;
    if (digits === 0) return ESCAPES[letter] ?? letter;
    const hex = this.source.slice(this.#at + 1, this.#at + 1 + digits);
    const point = Number.parseInt(hex, 16);
    if (!/^[0-9a-fA-F]+$/.test(hex) || hex.length < digits || point > 0x10ffff) {
      throw wrong(`"\\${letter}${hex}" is no character`);
    }
    this.#at += digits;
    return String.fromCodePoint(point);
  }
}

/** GVariant's default type of a value: int32 and double for numbers. */
function signatureOf(node: Node): string {
  switch (node.kind) {
    case "number":
      return isWhole(node.text) ? "i" : "d";
    case "text":
      return "s";
    case "flag":
      return "b";
    case "variant":
      return "v";
    case "typed":
      return node.signature;
    case "tuple":
      return `(${node.items.map(signatureOf).join("")})`;
    case "list": {
      const [first] = node.items;
      if (first === undefined) throw wrong("an empty list needs its type, as @as []");
      // an element that names its type names it for all
      const typed = node.items.find(({ kind }) => kind === "typed") ?? first;
      return `a${signatureOf(typed)}`;
    }
  }
}

function isWhole(text: string): boolean {
  return /^[+-]?(?:0[xX][0-9a-fA-F]+|\d+)$/.test(text);
}

function wholeNumber(text: string): bigint {
  const [, sign, digits = ""] = /^([+-]?)(.*)$/.exec(text) ?? [];
  // as in C: a zero before digits makes them octal
  const octal = /^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits;
  const value = BigInt(octal);
  return sign === "-" ? -value : value;
}

function numberFor(code: string, text: string): number | bigint {
  if (code === "d") {
    const value = isWhole(text) ? Number(wholeNumber(text)) : Number(text);
    if (Number.isNaN(value)) throw wrong(`${JSON.stringify(text)} is not a number`);
    return value;
  }
  const range = RANGES[code];
  if (range === undefined || !isWhole(text)) throw wrong(`${JSON.stringify(text)} is not of type ${code}`);
  const value = wholeNumber(text);
  if (value < range[0] || value > range[1]) throw wrong(`${text} is not within ${range[0]} to ${range[1]}`);
  return code === "x" || code === "t" ? value : Number(value);
}

function valueFor(type: Type, node: Node): Value {
  if (node.kind === "typed") {
    const [stated] = parseSignature(node.signature);
    if (JSON.stringify(stated) !== JSON.stringify(type))
      throw wrong(`${node.signature} is not the type of the others`);
    return valueFor(type, node.inner);
  }
  if (type.kind === "variant") {
    if (node.kind !== "variant") throw wrong("a variant is written as <value>");
    return variantOf(node.inner);
  }
  if (type.kind === "array" && node.kind === "list") {
    const values = node.items.map((item) => valueFor(type.element, item));
    return values;
  }
  if (type.kind === "struct" && node.kind === "tuple" && node.items.length === type.fields.length) {
    return type.fields.map((field, index) => valueFor(field, node.items[index] as Node));
  }
  if (type.kind === "basic") {
    const { code } = type;
    if (node.kind === "number") return numberFor(code, node.text);
    if (node.kind === "flag" && code === "b") return node.value;
    if (node.kind === "text" && (code === "s" || code === "o" || code === "g")) return node.text;
  }
  throw wrong("the parts of the value are not of one type");
}

function variantOf(node: Node): Variant {
  const signature = signatureOf(node);
  const [type, ...more] = parseSignature(signature);
  if (type === undefined || more.length > 0) throw wrong(`${JSON.stringify(signature)} is not one type`);
  return { signature, value: valueFor(type, node) };
}

/** A value in GVariant's text format: "'text'", "uint64 5", "['a', 'b']". */
export function parseVariant(source: string): Variant {
  return variantOf(new Parser(source).whole());
}
