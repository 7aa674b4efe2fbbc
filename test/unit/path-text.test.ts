import { describe, expect, test } from "bun:test";
import { posix } from "node:path";
import fc from "fast-check";
import { basename, dirname, isAtOrBelow, join, normalize, resolve } from "../../src/linux/file/path-text";

const path = fc
  .array(fc.constantFrom("/", "//", "a", "b", ".", "..", "...", "a.b"), { maxLength: 8 })
  .map((parts) => parts.join(""));

describe("paths as text are what node:path makes of them", () => {
  for (const [name, own, theirs] of [
    ["normalize", normalize, posix.normalize],
    ["basename", basename, posix.basename],
  ] as const)
    test(name, () => {
      fc.assert(
        fc.property(path, (text) => expect(own(text)).toBe(theirs(text))),
        { numRuns: 2000 },
      );
    });

  for (const [name, own, theirs] of [
    ["join", join, posix.join],
    ["resolve", resolve, posix.resolve],
  ] as const)
    test(name, () => {
      fc.assert(
        fc.property(fc.array(path, { maxLength: 4 }), (texts) =>
          expect(own(...texts)).toBe(theirs(...texts)),
        ),
        { numRuns: 2000 },
      );
    });

  test("dirname, but that two slashes at the beginning are one", () => {
    fc.assert(
      fc.property(path, (text) =>
        expect(dirname(text).replace(/^\/+/, "/")).toBe(posix.dirname(text.replace(/^\/+/, "/"))),
      ),
      { numRuns: 2000 },
    );
  });
});

test("at or below: a name that only begins alike is not, and all is below the root", () => {
  const tops: [string, string, boolean][] = [
    ["/a", "/a", true],
    ["/a/b", "/a", true],
    ["/ab", "/a", false],
    ["/", "/a", false],
    ["/a", "/", true],
    ["/", "/", true],
  ];
  for (const [path, top, is] of tops) expect([path, top, isAtOrBelow(path, top)]).toEqual([path, top, is]);
});
