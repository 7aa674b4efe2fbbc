import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { O } from "../../src/linux/call/constants";
import type { Fd } from "../../src/linux/call/fd";
import {
  createFileInRoot,
  mkdirAllInRoot,
  openAt,
  openByWalk,
  openIfThere,
  openInRoot,
} from "../../src/linux/file/path";
import { cleanPath } from "../../src/linux/file/path-text";
import { fileStatusOf } from "../../src/linux/file/stat";

let dir: string;
let root: Fd;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "hako-path-"));
  mkdirSync(join(dir, "root/a/b"), { recursive: true });
  writeFileSync(join(dir, "root/file"), "inside");
  writeFileSync(join(dir, "file"), "outside");
  const link = (target: string, name: string) => symlinkSync(target, join(dir, "root", name));
  link("../../../file", "up");
  link("/file", "absolute");
  link("a/b/../../file", "winding");
  link("loop", "loop");
  link("/new/place", "dangling");
  link("/../../outside", "escape");
  link("/a", "a/b/top");
  root = openAt(undefined, join(dir, "root"), O.PATH | O.DIRECTORY);
});

afterAll(() => {
  root.close();
  rmSync(dir, { recursive: true });
});

test("what may be missing in a root is found or not; any other failure is an error", () => {
  using fd = openIfThere(root, "winding", O.RDONLY);
  expect(readFileSync(fd?.number ?? -1, "utf8")).toBe("inside");
  for (const path of ["missing", "a/missing/b", "file/below", "dangling"])
    expect(openIfThere(root, path, O.PATH)).toBeUndefined();
  expect(() => openIfThere(root, "loop", O.PATH)).toThrow("openat2 loop: too many levels of symbolic links");
});

describe.each([
  ["openat2", openInRoot],
  ["walk", openByWalk],
])("open in a root by %s", (_, open) => {
  test.each([
    "file",
    "/file",
    "up",
    "absolute",
    "winding",
    "../../file",
    "a/b/top/../file",
    "/a/b/../../../../file",
  ])("%s is the file inside", (path) => {
    using fd = open(root, path, O.RDONLY);
    expect(readFileSync(fd.number, "utf8")).toBe("inside");
  });

  test.each([
    ["missing", O.RDONLY, "no such file or directory"],
    ["dangling", O.RDONLY, "no such file or directory"],
    ["", O.PATH, "no such file or directory"],
    ["loop", O.RDONLY, "too many levels of symbolic links"],
    ["up", O.RDONLY | O.NOFOLLOW, "too many levels of symbolic links"],
    ["file/x", O.RDONLY, "not a directory"],
    ["file", O.PATH | O.DIRECTORY, "not a directory"],
    ["file", O.WRONLY | O.CREAT | O.EXCL, "file exists"],
  ])("%p fails with flags %d", (path, flags, text) => {
    expect(() => open(root, path, flags)).toThrow(text);
  });

  test("a link can be opened itself", () => {
    using fd = open(root, "up", O.PATH | O.NOFOLLOW);
    expect(fileStatusOf(fd).type).toBe("symlink");
  });

  test("magic links of procfs lead nowhere", () => {
    using proc = openAt(undefined, "/proc", O.PATH | O.DIRECTORY);
    expect(() => open(proc, `self/fd/${root.number}`, O.PATH)).toThrow("too many levels of symbolic links");
    expect(() => open(proc, "self/ns/net", O.PATH)).toThrow("too many levels of symbolic links");
  });
});

describe("making things in a root", () => {
  test("directories, also behind links, stay inside", () => {
    mkdirAllInRoot(root, "x/y/../z").close();
    expect(existsSync(join(dir, "root/x/z"))).toBe(true);
    mkdirAllInRoot(root, "dangling/deep").close();
    expect(existsSync(join(dir, "root/new/place/deep"))).toBe(true);
    mkdirAllInRoot(root, "escape/here").close();
    expect(existsSync(join(dir, "root/outside/here"))).toBe(true);
    expect(existsSync(join(dir, "outside"))).toBe(false);
  });

  test("a file is made with its directories, and an existing one is left", () => {
    createFileInRoot(root, "f/g/h").close();
    expect(readFileSync(join(dir, "root/f/g/h"), "utf8")).toBe("");
    createFileInRoot(root, "up").close();
    expect(readFileSync(join(dir, "root/file"), "utf8")).toBe("inside");
    expect(() => mkdirAllInRoot(root, "file/x")).toThrow("not a directory");
    expect(() => mkdirAllInRoot(root, "file")).toThrow("not a directory");
  });

  test("no descriptor is left open", () => {
    const count = () => [...new Bun.Glob("*").scanSync({ cwd: "/proc/self/fd", onlyFiles: false })].length;
    const before = count();
    for (let turn = 0; turn < 20; turn++) {
      openByWalk(root, "a/b/top/b/../../winding", O.RDONLY).close();
      expect(() => openByWalk(root, "a/b/missing/x", O.PATH)).toThrow();
      mkdirAllInRoot(root, `many/${turn}/deep`).close();
    }
    expect(count()).toBe(before);
  });
});

test.each([
  ["/a/../b//./c/", "/b/c"],
  ["../../x", "/x"],
  ["", "/"],
])("clean path of %p", (path, clean) => {
  expect(cleanPath(path)).toBe(clean);
});
