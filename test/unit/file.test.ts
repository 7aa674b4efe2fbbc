import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  checkAccess,
  exists,
  linkText,
  listDirectories,
  listNames,
  makeDirectories,
  makeDirectory,
  openToAppend,
  readText,
  realPath,
  removeDirectory,
  removeFile,
  removeTree,
  renameFile,
  statusAt,
  writeAllTo,
  writeText,
  writeValueTo,
} from "../../src/linux/file/file";

const dir = mkdtempSync(join(tmpdir(), "hako-file-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("files", () => {
  test("write, append, read, rename, remove", () => {
    const path = join(dir, "a");
    writeText(path, "x".repeat(200_000), 0o600);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readText(path).length).toBe(200_000);
    writeText(path, "ö");
    {
      using end = openToAppend(path);
      writeAllTo(end.number, Buffer.from("1"), path);
    }
    expect(readText(path)).toBe("ö1");
    renameFile(path, join(dir, "b"));
    expect(exists(path)).toBe(false);
    expect(readFileSync(join(dir, "b"), "utf8")).toBe("ö1");
    removeFile(join(dir, "b"));
    removeFile(join(dir, "b"));
    expect(statusAt(join(dir, "b"))).toBeUndefined();
  });

  test("a value goes only into a file that is there", () => {
    expect(() => writeValueTo(join(dir, "none"), "1")).toThrow("none: no such file or directory");
    expect(exists(join(dir, "none"))).toBe(false);
  });

  test("empty files", () => {
    writeText(join(dir, "empty"), "");
    expect(readText(join(dir, "empty"))).toBe("");
  });

  test("errors name call and path", () => {
    expect(() => readText(join(dir, "no"))).toThrow(`open ${join(dir, "no")}: no such file or directory`);
    expect(() => readText(dir)).toThrow(`read ${dir}: is a directory`);
    expect(() => readText("a\0b")).toThrow("NUL byte");
    expect(() => checkAccess(join(dir, "no"), 4)).toThrow("no such file");
  });
});

describe("directories", () => {
  test("made with those above", () => {
    makeDirectories(join(dir, "p/q/r"), 0o700);
    makeDirectories(join(dir, "p/q/r"));
    expect(statSync(join(dir, "p/q")).mode & 0o777).toBe(0o700);
    expect(() => makeDirectory(join(dir, "p"))).toThrow("file exists");
    writeFileSync(join(dir, "p/file"), "");
    expect(() => makeDirectories(join(dir, "p/file"))).toThrow("not a directory");
    expect(listNames(join(dir, "p")).sort()).toEqual(["file", "q"]);
    expect(listDirectories(join(dir, "p"))).toEqual(["q"]);
    expect(() => removeDirectory(join(dir, "p"))).toThrow("directory not empty");
  });

  test("many names", () => {
    mkdirSync(join(dir, "many"));
    const names = Array.from({ length: 3000 }, (_, index) => `file-with-a-long-name-${index}`);
    for (const name of names) writeFileSync(join(dir, "many", name), "");
    expect(listNames(join(dir, "many")).sort()).toEqual(names.sort());
    removeTree(join(dir, "many"));
    expect(exists(join(dir, "many"))).toBe(false);
  });

  test("removed without following links", () => {
    mkdirSync(join(dir, "keep"));
    writeFileSync(join(dir, "keep/file"), "");
    mkdirSync(join(dir, "tree/sub"), { recursive: true });
    symlinkSync(join(dir, "keep"), join(dir, "tree/sub/link"));
    removeTree(join(dir, "tree"));
    removeTree(join(dir, "tree"));
    expect(exists(join(dir, "tree"))).toBe(false);
    expect(exists(join(dir, "keep/file"))).toBe(true);
  });

  test("two at once remove the same", async () => {
    const trees = Array.from({ length: 150 }, (_, index) => join(dir, `both-${index}`));
    for (const tree of trees) mkdirSync(join(tree, "sub/below"), { recursive: true });
    const other = `
      const { existsSync } = require("node:fs");
      const { removeTree } = require(${JSON.stringify(join(import.meta.dir, "../../src/linux/file/file"))});
      console.log("ready");
      while (!existsSync(${JSON.stringify(join(dir, "go"))}));
      for (const tree of ${JSON.stringify(trees)}) removeTree(tree);
    `;
    const rival = Bun.spawn([process.execPath, "-e", other], { stdout: "pipe", stderr: "pipe" });
    await rival.stdout.getReader().read();
    writeFileSync(join(dir, "go"), "");
    for (const tree of trees) removeTree(tree);
    expect([await rival.exited, await new Response(rival.stderr).text()]).toEqual([0, ""]);
    expect(trees.filter(exists)).toEqual([]);
  });

  test("a file that may not be removed is an error of its own, not a directory that can't be read", () => {
    // procfs removes none, whoever asks
    expect(() => removeTree("/proc/version")).toThrow(
      /^unlinkat \/proc\/version: (operation not permitted|permission denied)$/,
    );
  });
});

describe("links", () => {
  test("text, target, dangling", () => {
    symlinkSync("keep", join(dir, "link"));
    symlinkSync("nowhere", join(dir, "dangling"));
    expect(linkText(join(dir, "link"))).toBe("keep");
    expect(realPath(join(dir, "link"))).toBe(realPath(join(dir, "keep")));
    expect(statusAt(join(dir, "link"))?.type).toBe("directory");
    expect(statusAt(join(dir, "link"), false)?.type).toBe("symlink");
    expect(statusAt(join(dir, "dangling"))).toBeUndefined();
    expect(statusAt(join(dir, "dangling"), false)?.type).toBe("symlink");
    expect(() => realPath(join(dir, "dangling"))).toThrow("no such file or directory");
  });
});
