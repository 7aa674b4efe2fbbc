// Links to other repositories in what git keeps of a project.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gitLinks, submodulePaths } from "../../src/policy/git-links";

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
        expect(gitLinks(bytes)).toEqual(links);
        // one that is cut off is none
        for (let size = 0; size < bytes.length - 200; size += 7)
          expect(gitLinks(bytes.subarray(0, size))).toBeUndefined();
      });
});

test("what is no index", () => {
  for (const text of [
    "",
    "DIRC",
    "DIRC\0\0\0\x09\0\0\0\0",
    "DIRC\0\0\0\x02\0\0\0\x01",
    `DIRC\0\0\0\x02\xff\xff\xff\xff${"\0".repeat(200)}`,
  ])
    expect(gitLinks(Buffer.from(text, "latin1"))).toBeUndefined();
  expect(gitLinks(Buffer.from("DIRC\0\0\0\x02\0\0\0\0", "latin1"))).toEqual([]);
});
