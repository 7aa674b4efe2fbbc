// Links to other repositories in what git keeps of a project.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gitLinks, objectSize, submodulePaths } from "../../src/policy/git-links";

const dir = mkdtempSync(join(tmpdir(), "hako-links-"));
afterAll(() => rmSync(dir, { recursive: true }));

function git(project: string, ...words: string[]): string {
  const done = Bun.spawnSync(["git", "-C", project, ...words]);
  if (done.exitCode !== 0) throw new Error(done.stderr.toString());
  return done.stdout.toString();
}

test("submodules are those that have a path", () => {
  const text =
    '[submodule "a"]\n\tpath = a\n\turl = ../x\n[submodule "b"]\n  Path="b c/d" \n\tpathx = no\n#path\n';
  expect(submodulePaths(text)).toEqual(["a", "b c/d"]);
});

describe("links of an index", () => {
  if (Bun.which("git") === null) {
    console.log("skipped: links of an index: git is not installed");
    return;
  }
  for (const format of ["sha1", "sha256"])
    for (const version of [2, 3, 4])
      test(`version ${version}, ${format}`, () => {
        const project = join(dir, `${format}-${version}`);
        Bun.spawnSync(["git", "init", "-q", `--object-format=${format}`, project]);
        const object = "1".repeat(format === "sha1" ? 40 : 64);
        const links = ["a/link", "a/link-with-a-long-name/deep", "zz"];
        for (const name of ["a", "file", "x".repeat(200)]) writeFileSync(join(project, `${name}.txt`), "");
        git(project, "add", ".");
        // which needs version 3 at least
        writeFileSync(join(project, "later"), "");
        if (version > 2) git(project, "add", "-N", "later");
        for (const link of links)
          git(project, "update-index", "--add", "--cacheinfo", `160000,${object},${link}`);
        git(project, "update-index", "--index-version", `${version}`);
        const bytes = readFileSync(join(project, ".git/index"));
        expect(bytes.readUInt32BE(4)).toBe(version);
        const size = objectSize(readFileSync(join(project, ".git/config"), "utf8"));
        expect(size).toBe(format === "sha1" ? 20 : 32);
        expect(gitLinks(bytes, size)).toEqual(links);
        expect(gitLinks(bytes, 52 - size)).toBeUndefined();
        // one that is cut off is none
        for (let length = 0; length < bytes.length; length += 7)
          expect(gitLinks(bytes.subarray(0, length), size)).toBeUndefined();
      });
});

interface Entry {
  name: string;
  mode?: number;
  /** What the flags say. */
  flags?: number;
}

/** An index of version 2, with SHA-1. */
function indexOf(entries: readonly Entry[], extensions: Uint8Array = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(12);
  header.write("DIRC");
  header.writeUInt32BE(2, 4);
  header.writeUInt32BE(entries.length, 8);
  return Buffer.concat([header, ...entries.map(entryOf), extensions, Buffer.alloc(20)]);
}

const LINK = 0o160000;

function entryOf({ name, mode = LINK, flags = Math.min(name.length, 0xfff) }: Entry): Buffer {
  const entry = Buffer.alloc((62 + name.length + 8) & ~7);
  entry.writeUInt32BE(mode, 24);
  entry.writeUInt16BE(flags, 60);
  entry.write(name, 62, "latin1");
  return entry;
}

function extension(name: string, ...numbers: number[]): Buffer {
  const bytes = Buffer.alloc(8 + 4 * numbers.length);
  bytes.write(name);
  for (const [index, number] of [4 * numbers.length, ...numbers].entries())
    bytes.writeUInt32BE(number, 4 + 4 * index);
  return bytes;
}

const linksOf = (entries: readonly Entry[], extensions?: Uint8Array) =>
  gitLinks(indexOf(entries, extensions), 20);

test("names and numbers that git has none of", () => {
  const longest = "x".repeat(4095);
  expect(linksOf([{ name: "a" }, { name: longest }])).toEqual(["a", longest]);
  for (const length of [4096, 200_000]) expect(linksOf([{ name: "x".repeat(length) }])).toBeUndefined();
  const many = (count: number) => Array.from({ length: count }, (_, index) => ({ name: `link-${index}` }));
  expect(linksOf(many(1000))).toHaveLength(1000);
  expect(linksOf(many(1001))).toBeUndefined();
  for (const name of ["", "/a", "a/", "a//b", "../a", "a/./b", "a/.GIT"])
    expect(linksOf([{ name }])).toBeUndefined();
});

test("what git would read in another way", () => {
  const mode = 0o100644;
  // git goes by the length, and sees one file where two seem to be; then the link
  const hidden = `a\0${entryOf({ name: "b", mode }).toString("latin1")}`;
  expect(linksOf([{ name: hidden, mode }, { name: "sub" }])).toBeUndefined();
  expect(linksOf([{ name: "a", flags: 2 }])).toBeUndefined();
  // extended flags, which version 2 has none of
  expect(linksOf([{ name: "a", flags: 0x4001 }])).toBeUndefined();
});

test("what an index says of where its entries are", () => {
  const entries = [{ name: "a" }, { name: "b" }];
  const end = 12 + 2 * 64;
  for (const [said, isTrue] of [
    [extension("EOIE", end), true],
    [extension("EOIE", end - 64), false],
    [extension("IEOT", 1, 12, 1, 12 + 64, 1), true],
    [extension("IEOT", 1, 12, 1), false],
    [extension("IEOT", 1, 12, 1, 20, 1), false],
    [extension("TREE", 7).subarray(0, 10), false],
  ] as const)
    expect(linksOf(entries, said)).toEqual(isTrue ? ["a", "b"] : undefined);
});

test("what is no index", () => {
  for (const text of [
    "",
    "DIRC",
    "DIRC\0\0\0\x09\0\0\0\0",
    "DIRC\0\0\0\x02\0\0\0\x01",
    `DIRC\0\0\0\x02\xff\xff\xff\xff${"\0".repeat(200)}`,
  ])
    expect(gitLinks(Buffer.from(text, "latin1"), 20)).toBeUndefined();
  expect(linksOf([])).toEqual([]);
});
