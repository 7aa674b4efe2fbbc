import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { bytesOf, concatenated, textOf } from "../../src/linux/bytes";

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

  test("that are no text are replaced", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => expect(textOf(bytes)).toBe(Buffer.from(bytes).toString())),
    );
  });

  test("in parts are put together", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array()), (parts) =>
        expect(concatenated(parts)).toEqual(new Uint8Array(Buffer.concat(parts))),
      ),
    );
  });
});
