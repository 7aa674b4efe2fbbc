// What src/image makes of archives, without unpacking them.
import { describe, expect, test } from "bun:test";
import { DigestCheck, parseDigest } from "../../src/image/digest";
import { paxRecords } from "../../src/image/pax";
import { parseReference } from "../../src/image/reference";
import { type TarEntry, TarParser } from "../../src/image/tar";
import { type Entry, sha256, tarOf } from "../e2e/image-archives";

/** Entries with their data, read in pieces of a size. */
function read(bytes: Uint8Array, size: number): (TarEntry & { data: string })[] {
  const entries: (TarEntry & { data: string })[] = [];
  let ended = 0;
  const parser = new TarParser({
    begin: (entry) => entries.push({ ...entry, data: "" }),
    data(piece) {
      const last = entries.at(-1);
      if (last !== undefined) last.data += Buffer.from(piece).toString("latin1");
    },
    end: () => ended++,
  });
  for (let at = 0; at < bytes.length; at += size) parser.write(bytes.subarray(at, at + size));
  parser.close();
  expect(ended).toBe(entries.length);
  return entries;
}

const ENTRIES: Entry[] = [
  { name: "directory/", type: "Directory", mode: 0o1755 },
  { name: "file", data: "x".repeat(700), uid: 3_000_000, gid: 7 },
  { name: "empty", data: "" },
  { name: `long/${"n".repeat(300)}`, data: "long" },
  { name: "link", type: "SymbolicLink", link: "file" },
  { name: "attributes", data: "y", pax: { "SCHILY.xattr.user.a": "b\nc=d", mtime: "1600000000.25" } },
];

/** A header of a sparse file in GNU tar's old format, with the fields at 386 and the size at 483. */
function oldSparse(fields: readonly string[], size: string): Buffer {
  const archive = tarOf([{ name: "sparse", type: "SparseFile", data: "xy" }]);
  for (const [index, field] of fields.entries())
    archive.write(field.padEnd(12, "\0"), 386 + 12 * index, "latin1");
  archive.write(size.padEnd(12, "\0"), 483, "latin1");
  archive.fill(" ", 148, 156);
  const sum = archive.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  archive.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return archive;
}

describe("sparse files in GNU tar's old format", () => {
  test("the parts are the header's", () => {
    const [entry] = read(oldSparse(["00000000001", "1", "100", "1"], "1000"), 100);
    expect(entry).toMatchObject({ name: "sparse", type: "file", size: 2, data: "xy" });
    expect(entry?.sparse).toEqual({ size: 512, parts: [1, 1, 64, 1] });
    const [large] = read(oldSparse(["\x80\0\0\0\0\0\0\x02\0\0\0\0", "2"], "1"), 512);
    expect(large?.sparse?.parts).toEqual([2 ** 33, 2]);
  });

  test("a number that is none, or too large", () => {
    expect(() => read(oldSparse(["9"], "1"), 512)).toThrow("map of a sparse file is broken");
    expect(() => read(oldSparse([`\x80${"\xff".repeat(11)}`, "1"], "1"), 512)).toThrow("map of a sparse");
  });
});

describe("tar", () => {
  for (const size of [1, 511, 512, 513, 1 << 20]) {
    test(`in pieces of ${size} bytes`, () => {
      const [directory, file, empty, long, link, attributes] = read(tarOf(ENTRIES), size);
      expect(directory).toMatchObject({ name: "directory/", type: "directory", mode: 0o1755, size: 0 });
      expect(file).toMatchObject({ type: "file", uid: 3_000_000, gid: 7, size: 700, data: "x".repeat(700) });
      expect(empty).toMatchObject({ size: 0, data: "" });
      expect(long).toMatchObject({ name: `long/${"n".repeat(300)}`, data: "long" });
      expect(link).toMatchObject({ type: "symlink", target: "file" });
      expect(attributes).toMatchObject({ modified: 1_600_000_000.25, data: "y" });
      expect(Buffer.from(attributes?.pax.get("SCHILY.xattr.user.a") ?? []).toString()).toBe("b\nc=d");
    });
  }

  test("where files are in the archive", () => {
    const bytes = tarOf(ENTRIES);
    const places: string[] = [];
    const parser: TarParser = new TarParser({
      begin: ({ size }) => places.push(bytes.toString("latin1", parser.offset, parser.offset + size)),
      data() {},
      end() {},
    });
    parser.write(bytes);
    expect(places).toEqual(["", "x".repeat(700), "", "long", "", "y"]);
  });

  test("too many files are refused, which are a million where nobody says how many", () => {
    let count = 0;
    const parser = new TarParser({ begin: () => count++, data() {}, end() {} }, 1000);
    const many = Buffer.concat(Array.from({ length: 1000 }, () => tarOf([{ name: "x" }]).subarray(0, 512)));
    expect(() => parser.write(many)).toThrow("a million files or more");
    expect(count).toBe(999);
  });

  test("one that is cut off, broken, or none", () => {
    const bytes = tarOf(ENTRIES);
    for (const length of [1, 100, 600, 1100])
      expect(() => read(bytes.subarray(0, length), 512)).toThrow("cut off");
    expect(() => read(new Uint8Array(), 1)).toThrow("empty");
    const broken = Buffer.from(bytes);
    broken[0] = 1;
    expect(() => read(broken, 512)).toThrow("checksum");
    // without the blocks at its end, as some programs leave it
    expect(read(bytes.subarray(0, bytes.length - 1024), 512)).toHaveLength(ENTRIES.length);
  });
});

test("pax records are bytes, and a broken header is refused", () => {
  const records = paxRecords(
    Buffer.concat([Buffer.from("12 path=a\nb\n"), Buffer.from([0x37, 0x20, 0x78, 0x3d, 0xff, 0x80, 0x0a])]),
  );
  expect([...records].map(([key, value]) => [key, [...value]])).toEqual([
    ["path", [97, 10, 98]],
    ["x", [0xff, 0x80]],
  ]);
  for (const text of ["12 path=a", "x path=a\n", "0 a=b\n", "6 ab\n\n", "99 a=b\n", "-6 a=b\n"])
    expect(() => paxRecords(Buffer.from(text))).toThrow("pax header");
});

test("digests", () => {
  const hex = sha256(Buffer.from("abc"));
  expect(parseDigest(`sha256:${hex}`)).toEqual({ algorithm: "sha256", hex });
  for (const text of [
    "",
    hex,
    `md5:${hex}`,
    `sha256:${hex.toUpperCase()}`,
    `sha256:${hex}0`,
    "sha256:../../x",
  ])
    expect(() => parseDigest(text)).toThrow("is not a digest");
  const check = new DigestCheck({ algorithm: "sha256", hex });
  check.update(Buffer.from("ab"));
  expect(() => check.close("it")).toThrow(
    `it: its digest is sha256:${sha256(Buffer.from("ab"))}, not sha256:${hex}`,
  );
});

test("references", () => {
  expect(parseReference("/a/b.tar")).toMatchObject({ kind: "archive", path: "/a/b.tar", tag: undefined });
  expect(parseReference("oci:/a/layout")).toMatchObject({
    kind: "layout",
    path: "/a/layout",
    tag: undefined,
  });
  expect(parseReference("oci:/a/layout:v1")).toMatchObject({ kind: "layout", path: "/a/layout", tag: "v1" });
  expect(parseReference("docker-archive:/a.tar:quay.io/b/c:v1")).toMatchObject({
    kind: "archive",
    path: "/a.tar",
    tag: "quay.io/b/c:v1",
  });
  for (const text of ["oci:", "oci::tag", "oci:/a:"])
    expect(() => parseReference(text)).toThrow("is not oci:PATH[:TAG]");
});
