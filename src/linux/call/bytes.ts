/**
 * Text and bytes. Names and arguments are any bytes to the kernel, UTF-8 as a rule. A byte that is not part of a character in UTF-8
 * is half of a surrogate pair in our texts, U+DC80 to U+DCFF, as in Python (PEP 383): no character of a text in UTF-8 becomes
 * one, so that text made of bytes gives the same bytes again.
 *
 * (Node's Buffer takes a third of a millisecond to load, and every command has to do with these.)
 */

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A byte from 0x80 on that belongs to no character is the UTF-16 unit of this number plus the byte. */
const ESCAPED = 0xdc00;
const REPLACEMENT = "\ufffd";
/**
 * `REPLACEMENT` in UTF-8. The decoder also puts this character in the place of bytes that are no text: the bytes tell which it
 * is.
 */
const REPLACEMENT_BYTES = [0xef, 0xbf, 0xbd];
/** Runs of bytes that belong to no character, and other text. */
const RUNS = /[\udc80-\udcff]+|[^\udc80-\udcff]+/gu;

/** The bytes of a text: UTF-8, and for each of U+DC80 to U+DCFF the byte that `textOf` had found. */
export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  if (text.isWellFormed()) return encoder.encode(text);
  const parts = text.match(RUNS) ?? [];
  return concatenated(parts.map((part) => (isEscaped(part) ? unescaped(part) : encoder.encode(part))));
}

function isEscaped(part: string): boolean {
  const unit = part.charCodeAt(0);
  return unit >= ESCAPED + 0x80 && unit <= ESCAPED + 0xff;
}

function unescaped(part: string): Uint8Array {
  return Uint8Array.from(part, (unit) => unit.charCodeAt(0) - ESCAPED);
}

/** The text of bytes in UTF-8; a byte that belongs to no character is one of U+DC80 to U+DCFF. */
export function textOf(bytes: Uint8Array): string {
  const text = decoder.decode(bytes);
  return text.includes(REPLACEMENT) ? escapedText(bytes) : text;
}

/** The text of bytes of which some may be no UTF-8. */
function escapedText(bytes: Uint8Array): string {
  let text = "";
  let from = 0;
  for (let at = 0; at < bytes.length; ) {
    const length = characterLength(bytes, at);
    if (length > 0) {
      at += length;
      continue;
    }
    text += decoder.decode(bytes.subarray(from, at)) + String.fromCharCode(ESCAPED + (bytes[at] ?? 0));
    at++;
    from = at;
  }
  return text + decoder.decode(bytes.subarray(from));
}

/** How many bytes the character at a place has; 0 if there is none. */
function characterLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return 1;
  // no character begins with these (RFC 3629)
  if (first < 0xc2 || first > 0xf4) return 0;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  const character = bytes.subarray(at, at + length);
  if (character.length < length) return 0;
  const decoded = decoder.decode(character);
  const isOne = String.fromCodePoint(decoded.codePointAt(0) ?? 0) === decoded;
  if (isOne && decoded !== REPLACEMENT) return length;
  return isOne && REPLACEMENT_BYTES.every((byte, index) => byte === character[index]) ? length : 0;
}

/** All parts in one, one behind the other. */
export function concatenated(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const part of parts) length += part.length;
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
