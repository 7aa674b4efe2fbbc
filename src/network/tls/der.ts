/** Values in DER (ITU-T X.690), of those kinds that certificates have. */

export type Der = Buffer;

/** Tags of ASN.1 (X.690 8.1.2, X.680 8.6). */
const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  sequence: 0x30,
  set: 0x31,
} as const;

function encoded(tag: number, ...contents: readonly Uint8Array[]): Der {
  const content = Buffer.concat(contents);
  return Buffer.concat([Buffer.from([tag, ...lengthOf(content.length)]), content]);
}

/** X.690 8.1.3: one byte, or the number of those that follow. */
function lengthOf(length: number): number[] {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return [0x80 | bytes.length, ...bytes];
}

export const sequence = (...values: readonly Der[]): Der => encoded(TAG.sequence, ...values);

export const setOf = (...values: readonly Der[]): Der => encoded(TAG.set, ...values);

export const truth = (): Der => encoded(TAG.boolean, Uint8Array.of(0xff));

/** A number that isn't negative, of its bytes: without those in front that are 0, and with one where the first would be a sign. */
export function unsigned(bytes: Uint8Array): Der {
  const first = bytes.findIndex((byte) => byte !== 0);
  const shortest = first < 0 ? Uint8Array.of(0) : bytes.subarray(first);
  const isSigned = (shortest[0] ?? 0) >= 0x80;
  return encoded(TAG.integer, Uint8Array.of(...(isSigned ? [0] : []), ...shortest));
}

/** Bits of which the last byte has some that aren't used. */
export const bitString = (bytes: Uint8Array, unused = 0): Der =>
  encoded(TAG.bitString, Uint8Array.of(unused), bytes);

export const octetString = (bytes: Uint8Array): Der => encoded(TAG.octetString, bytes);

export const utf8 = (text: string): Der => encoded(TAG.utf8String, Buffer.from(text));

/** An identifier that is written with dots; X.690 8.19. */
export function objectIdentifier(dotted: string): Der {
  const [first = 0, second = 0, ...others] = dotted.split(".").map(Number);
  const bytes = [40 * first + second, ...others].flatMap((arc) => {
    const digits = [arc % 128];
    for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128))
      digits.unshift(0x80 | (rest % 128));
    return digits;
  });
  return encoded(TAG.objectIdentifier, Uint8Array.from(bytes));
}

/** A time before 2050, to the second (X.680 47.3: the year has two digits). */
export function utcTime(milliseconds: number): Der {
  const text = new Date(milliseconds).toISOString().replace(/\.\d+/, "").replaceAll(/[-:T]/g, "");
  return encoded(TAG.utcTime, Buffer.from(text.slice(2)));
}

/** A value in place of whose own tag there is a number (IMPLICIT). */
export const implicit = (number: number, content: Uint8Array): Der => encoded(0x80 | number, content);

/** Values below a number (EXPLICIT, or IMPLICIT of a sequence). */
export const tagged = (number: number, ...values: readonly Der[]): Der => encoded(0xa0 | number, ...values);
