import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { annotatedProperties } from "../../src/cgroup/systemd/annotations";
import { parseVariant } from "../../src/cgroup/systemd/variant-text";
import { marshal } from "../../src/dbus/marshal";
import { slicePath, unitPlace } from "../../src/oci/unit-path";

describe("slice:prefix:name", () => {
  test.each([
    ["system.slice:kata:abc", "system.slice", "kata-abc.scope"],
    ["machine.slice:libpod:0123", "machine.slice", "libpod-0123.scope"],
    [":cri-containerd:0123", "system.slice", "cri-containerd-0123.scope"],
    ["user.slice::web", "user.slice", "-web.scope"],
    [undefined, "system.slice", "hako-id.scope"],
    ["", "system.slice", "hako-id.scope"],
  ])("%p", (path, slice, unit) => {
    expect(unitPlace(path, "id", false)).toEqual({ slice, unit });
  });

  test("a user's default is user.slice", () => {
    expect(unitPlace(":a:b", "id", true).slice).toBe("user.slice");
    expect(unitPlace(undefined, "id", true).slice).toBe("user.slice");
  });

  test.each([
    ["/kata/x", "slice:prefix:name"],
    ["a:b:c:d", "slice:prefix:name"],
    ["a:b:", "slice:prefix:name"],
    [":a:x.slice", "is a slice"],
    [":a:x/../y", "is not a unit name"],
    [`:a:${"x".repeat(300)}`, "is not a unit name"],
    ["a:b:c", "is not the name of a slice"],
    ["a/b.slice:b:c", "is not the name of a slice"],
    ["@.slice/..:b:c", "is not the name of a slice"],
  ])("%p: %s", (path, why) => {
    expect(() => unitPlace(path, "id", false)).toThrow(why);
  });

  test.each([
    ["-.slice", ""],
    ["system.slice", "/system.slice"],
    ["test-a-b.slice", "/test.slice/test-a.slice/test-a-b.slice"],
  ])("the directory of %s is %p", (slice, path) => {
    expect(slicePath(slice)).toBe(path);
  });

  // runc's table of what ExpandSlice refuses
  test.each(["", ".slice", "a", "-a.slice", "a--b.slice", "a-.slice", "/a.slice"])(
    "%p is no slice",
    (slice) => {
      expect(() => slicePath(slice)).toThrow("is not the name of a slice");
    },
  );
});

describe("GVariant's text", () => {
  test.each([
    ["true", "b", true],
    [" false ", "b", false],
    ["7", "i", 7],
    ["-7", "i", -7],
    ["0x1F", "i", 31],
    ["010", "i", 8],
    ["1.5", "d", 1.5],
    ["uint64 123456789", "t", 123456789n],
    ["int64 -5", "x", -5n],
    ["uint32 4294967295", "u", 4294967295],
    ["byte 0xff", "y", 255],
    ["double 3", "d", 3],
    ["'inactive-or-failed'", "s", "inactive-or-failed"],
    ['"it\'s"', "s", "it's"],
    ["'it\\'s \\u00e9\\n'", "s", "it's é\n"],
    ["['a', 'b']", "as", ["a", "b"]],
    ["@as []", "as", []],
    ["[uint32 1, 2]", "au", [1, 2]],
    ["@au [1, 2]", "au", [1, 2]],
    ["[('/dev/null', 'rw')]", "a(ss)", [["/dev/null", "rw"]]],
    ["('a', true, uint64 5)", "(sbt)", ["a", true, 5n]],
    ["<'x'>", "v", { signature: "s", value: "x" }],
    ["objectpath '/a'", "o", "/a"],
  ] as const)("%s", (text, signature, value) => {
    const parsed = parseVariant(text);
    expect(parsed).toEqual({ signature, value } as never);
    // and D-Bus can carry it
    expect(marshal("v", [parsed]).length).toBeGreaterThan(0);
  });

  test.each([
    ["", "empty"],
    ["inactive", "is no value"],
    ["'open", "missing"],
    ["true true", "follows the value"],
    ["[]", "needs its type"],
    ["[1, 'a']", "not of one type"],
    ["[uint32 1, uint64 2]", "is not the type of the others"],
    ["byte 256", "is not within"],
    ["uint64 -1", "is not within"],
    ["3000000000", "is not within"],
    ["uint64 'a'", "not of one type"],
    ["@q{ 1", "signature"],
    ["['a'", "missing"],
    ["1x", "is not a"],
    ["'\\uD'", "no character"],
  ])("%p is refused: %s", (text, why) => {
    expect(() => parseVariant(text)).toThrow(why);
  });

  test("no text makes it fail in another way", () => {
    const words = fc.constantFrom(
      "'a'",
      "[",
      "]",
      "(",
      ")",
      ",",
      "@as",
      "uint32",
      "1",
      "-",
      "<",
      ">",
      " ",
      "\\",
      '"',
    );
    fc.assert(
      fc.property(fc.array(words), (text) => {
        try {
          parseVariant(text.join(""));
        } catch (error) {
          expect((error as Error).name).toBe("HakoError");
        }
      }),
    );
  });
});

describe("org.systemd.property annotations", () => {
  const one = (name: string, value: string) =>
    annotatedProperties({ [`org.systemd.property.${name}`]: value, "org.other": "x" })[0];

  test("are properties; seconds are microseconds in the interface", () => {
    expect(one("CollectMode", "'inactive-or-failed'")).toEqual([
      "CollectMode",
      { signature: "s", value: "inactive-or-failed" },
    ]);
    expect(one("TimeoutStopUSec", "uint64 5")).toEqual(["TimeoutStopUSec", { signature: "t", value: 5n }]);
    // runc's table
    for (const text of [
      "byte 5",
      "int16 5",
      "uint16 5",
      "int32 5",
      "uint32 5",
      "int64 5",
      "uint64 5",
      "double 5",
      "5",
    ]) {
      expect(one("TimeoutStopSec", text)).toEqual(["TimeoutStopUSec", { signature: "t", value: 5_000_000n }]);
    }
    expect(one("TimeoutStopSec", "1.25")).toEqual(["TimeoutStopUSec", { signature: "t", value: 1_250_000n }]);
    // no lower-case letter before it: not a time
    expect(one("FOOSec", "true")).toEqual(["FOOSec", { signature: "b", value: true }]);
  });

  test.each([
    ["TimeoutStopSec", "'now'", "is not a number of seconds"],
    ["TimeoutStopSec", "-1", "is not a number of seconds"],
    ["TimeoutStopSec", "uint64 18446744073709551615", "are too many"],
    ["ab", "true", "is not the name of a property"],
    ["A1b", "true", "is not the name of a property"],
    ["CollectMode", "inactive", "is no value"],
  ])("%s=%s is refused: %s", (name, value, why) => {
    expect(() => one(name, value)).toThrow(`config /annotations/org.systemd.property.${name}`);
    try {
      one(name, value);
    } catch (error) {
      expect((error as { oneLine: string }).oneLine).toContain(why);
    }
  });
});
