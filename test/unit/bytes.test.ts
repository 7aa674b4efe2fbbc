import { describe, expect, test } from "bun:test";
import { isUtf8 } from "node:buffer";
import fc from "fast-check";
import { bytesOf, concatenated, textOf } from "../../src/linux/call/bytes";

describe("bytes", () => {
  test("of a text are those of Buffer, and give the same text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(bytesOf(text)).toEqual(new Uint8Array(Buffer.from(text)));
        expect(textOf(bytesOf(text))).toBe(Buffer.from(text).toString());
      }),
    );
    expect(textOf(bytesOf("\ufeffbegins with a mark"))).toBe("\ufeffbegins with a mark");
  });

  test("of any kind give the same bytes again, and those of a text its characters", () => {
    const bytes = fc.oneof(
      fc.uint8Array(),
      // the beginnings and ends of characters, halves of surrogate pairs in UTF-8, U+FFFD
      fc
        .array(
          fc.constantFrom(0x41, 0x80, 0xc0, 0xc3, 0xa9, 0xed, 0xb2, 0xf0, 0x9f, 0x98, 0xef, 0xbf, 0xbd, 0xf4),
        )
        .map((all) => Uint8Array.from(all)),
    );
    fc.assert(
      fc.property(bytes, (any) => {
        expect(bytesOf(textOf(any))).toEqual(new Uint8Array(any));
        const known = isUtf8(any);
        expect(textOf(any).isWellFormed()).toBe(known);
        if (known) expect(textOf(any)).toBe(Buffer.from(any).toString());
      }),
      { numRuns: 2000 },
    );
    expect(textOf(Uint8Array.of(0x61, 0xff, 0xc3, 0xa9, 0xc3))).toBe("a\udcff\u00e9\udcc3");
  });

  test("in parts are put together", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array()), (parts) =>
        expect(concatenated(parts)).toEqual(new Uint8Array(Buffer.concat(parts))),
      ),
    );
  });
});
