// What hako reads of the layers of an overlay, whose names and contents come from a program that nobody trusts.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { asHakoError } from "../../src/base/errors";
import { HELD } from "../../src/changes/acting-files";
import { applyChanges, checkApplicable } from "../../src/changes/apply";
import { ClaimedChanges } from "../../src/changes/changes-directory";
import { chosenChanges } from "../../src/changes/choose";
import { cleanUp } from "../../src/changes/clean-up";
import { copyContent, sameContent } from "../../src/changes/file-content";
import { actsOn, hasSameScripts } from "../../src/changes/noteworthy";
import { readChanges } from "../../src/changes/read-changes";
import { type ChangesRecord, readChangesRecord, writeChangesRecord } from "../../src/changes/record";
import { removeHostileTree } from "../../src/changes/remove-tree";
import { StagingDirectories } from "../../src/changes/staging";
import { bytesOf } from "../../src/linux/call/bytes";
import { O } from "../../src/linux/call/constants";
import { setAttribute } from "../../src/linux/file/extended-attributes";
import { makeNodeAt } from "../../src/linux/file/file-at";
import { openAt } from "../../src/linux/file/path";
import { isRootless } from "../../src/linux/process/rootless";

const YES = bytesOf("y");
let top = "";
let count = 0;

beforeAll(() => {
  top = mkdtempSync("/var/tmp/hako-unit-changes-");
});
afterAll(() => rmSync(top, { recursive: true, force: true }));

/** A host's directory, and a layer over it that is made by hand. */
class Layers {
  readonly directory = join(top, `${count++}`);
  readonly host = join(this.directory, "host");
  readonly upper = join(this.directory, "0/upper");
  readonly record: ChangesRecord;

  constructor() {
    mkdirSync(this.host, { recursive: true });
    mkdirSync(this.upper, { recursive: true });
    this.record = {
      format: 1,
      rootfs: this.host,
      uid: process.getuid?.() ?? 0,
      attributes: "user",
      layers: [{ place: this.host, directory: "0", isMount: false }],
      points: ["/mnt/made"],
      runs: [[Math.floor(Date.now() / 1000) + 3600, 0]],
    };
  }

  put(where: "host" | "upper", path: string, text: string): void {
    const file = join(this[where], path);
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(file, text);
  }

  remove(path: string): void {
    const file = join(this.upper, path);
    mkdirSync(join(file, ".."), { recursive: true });
    using directory = openAt(undefined, join(file, ".."), O.PATH | O.DIRECTORY);
    makeNodeAt(directory, file.slice(file.lastIndexOf("/") + 1), {
      type: "character",
      mode: 0,
      major: 0,
      minor: 0,
    });
  }

  mark(path: string, name: string, value = YES): void {
    using file = openAt(undefined, join(this.upper, path), O.PATH);
    setAttribute(file, name, value);
  }

  get changes() {
    using directory = openAt(undefined, this.directory, O.RDONLY | O.DIRECTORY);
    return readChanges(directory, this.record);
  }

  get told(): string[] {
    return this.changes.map(({ kind, path, what }) => [kind, path, ...what].join(" "));
  }

  apply(paths: string[] = [], force = false) {
    using directory = openAt(undefined, this.directory, O.RDONLY | O.DIRECTORY);
    const changes = chosenChanges(this.changes, paths, this.record);
    expect(checkApplicable(changes, { force })).toEqual([]);
    return applyChanges(directory, this.record, changes, { force }, undefined);
  }
}

describe("layers", () => {
  test("added, changed, removed, replaced, and equal", () => {
    const layers = new Layers();
    for (const path of ["same", "other", "gone", "dir/old", "dir/deep/old", "dir/kept", "whole/x/y"])
      layers.put("host", path, "text");
    layers.put("upper", "same", "text");
    layers.put("upper", "other", "another");
    layers.put("upper", "new/file", "text");
    layers.put("upper", "dir/kept", "text");
    layers.mark("dir", "user.overlay.opaque");
    layers.remove("gone");
    layers.remove("whole");
    layers.remove("never");
    expect(layers.told).toEqual([
      "removed /dir/deep",
      "removed /dir/deep/old",
      "removed /dir/old",
      "removed /gone",
      "added /new",
      "added /new/file",
      "changed /other content",
      "removed /whole",
      "removed /whole/x",
      "removed /whole/x/y",
    ]);
    layers.apply();
    expect(layers.told).toEqual([]);
    expect(readdirSync(layers.host).toSorted()).toEqual(["dir", "new", "other", "same"]);
    expect(readdirSync(join(layers.host, "dir"))).toEqual(["kept"]);
  });

  test("what is below a directory that is hidden is hidden, too", () => {
    const layers = new Layers();
    layers.put("host", "dir/sub/old", "text");
    layers.put("upper", "dir/sub/new", "text");
    layers.mark("dir", "user.overlay.opaque");
    expect(layers.told).toEqual(["added /dir/sub/new", "removed /dir/sub/old"]);
  });

  test("an overlay's own attributes are taken off, a program's are one level less", () => {
    const layers = new Layers();
    layers.put("host", "file", "text");
    layers.put("upper", "file", "text");
    layers.mark("file", "user.overlay.origin");
    layers.mark("file", "user.overlay.impure");
    expect(layers.told).toEqual([]);
    layers.mark("file", "user.overlay.overlay.opaque");
    expect(layers.told).toEqual(["changed /file attributes"]);
    layers.apply();
    expect(layers.told).toEqual([]);
  });

  test("a mount point that hako has made is none, unless something is in it", () => {
    const layers = new Layers();
    mkdirSync(join(layers.upper, "mnt/made"), { recursive: true });
    expect(layers.told).toEqual([]);
    layers.put("upper", "mnt/made/file", "text");
    expect(layers.told).toEqual(["added /mnt", "added /mnt/made", "added /mnt/made/file"]);
  });

  test("links are neither followed nor written through", () => {
    const layers = new Layers();
    const elsewhere = join(layers.directory, "elsewhere");
    mkdirSync(elsewhere);
    symlinkSync(elsewhere, join(layers.upper, "link"));
    symlinkSync(elsewhere, join(layers.host, "dir"));
    layers.put("upper", "dir/file", "text");
    expect(layers.told).toEqual(["changed /dir type", "added /dir/file", "added /link"]);
    layers.apply();
    expect(readdirSync(elsewhere)).toEqual([]);
    expect(readFileSync(join(layers.host, "dir/file"), "utf8")).toBe("text");
  });

  test("what the host has changed since a run began is a conflict", () => {
    const layers = new Layers();
    layers.record.runs = [[0, 0]];
    layers.put("host", "file", "text");
    layers.put("host", "dir/inside", "text");
    layers.put("upper", "file", "other");
    layers.remove("dir");
    const conflicts = layers.changes.filter(({ conflict }) => conflict !== undefined).map(({ path }) => path);
    expect(conflicts).toContain("/file");
    expect(conflicts).toContain("/dir/inside");
    expect(checkApplicable(layers.changes, { force: false }).length).toBeGreaterThan(1);
    expect(checkApplicable(layers.changes, { force: true })).toEqual([]);
  });

  test("a part with the new directories that it is in; directories get their times", () => {
    const layers = new Layers();
    layers.put("upper", "a/b/c", "text");
    layers.put("upper", "a/d", "text");
    utimesSync(join(layers.upper, "a/b"), 500, 500);
    lutimesSync(join(layers.upper, "a/b/c"), 400, 400);
    layers.apply(["/a/b"]);
    expect(readdirSync(join(layers.host, "a"))).toEqual(["b"]);
    expect(statSync(join(layers.host, "a/b/c")).mtimeMs).toBe(400_000);
    expect(statSync(join(layers.host, "a/b")).mtimeMs).toBe(500_000);
    expect(() => layers.apply(["/none"])).toThrow("nothing was changed at /none");
    expect(() => layers.apply(["relative"])).toThrow("absolute");
  });

  test("an apply that fails has changed nothing, and leaves nothing", () => {
    const layers = new Layers();
    layers.put("host", "file", "old");
    layers.put("upper", "file", "new");
    layers.put("upper", "more", "new");
    using directory = openAt(undefined, layers.directory, O.RDONLY | O.DIRECTORY);
    const { changes } = layers;
    rmSync(join(layers.upper, "more"));
    expect(() => applyChanges(directory, layers.record, changes, { force: false }, undefined)).toThrow(
      "/more",
    );
    expect(readFileSync(join(layers.host, "file"), "utf8")).toBe("old");
    expect(readdirSync(layers.host)).toEqual(["file"]);
  });

  test("what an earlier version has begun is removed by its names", () => {
    const layers = new Layers();
    const prefix = ".hako-0123456789abcdef-";
    layers.put("host", `dir/${prefix}0/in/file`, "text");
    layers.put("host", `dir/${prefix}1`, "text");
    layers.put("host", "dir/.hako-other", "text");
    cleanUp({ prefix, parents: [join(layers.host, "dir"), "/no/such/directory"], directories: [] });
    expect(readdirSync(join(layers.host, "dir"))).toEqual([".hako-other"]);
  });

  test("a staging directory that was exchanged is neither used nor removed", () => {
    const layers = new Layers();
    const prefix = ".hako-0123456789abcdef-";
    const waiting = join(layers.host, `${prefix}0`);
    using place = openAt(undefined, layers.host, O.PATH | O.DIRECTORY);
    using staging = new StagingDirectories(prefix);
    staging.make("key", { place, above: ".", path: layers.host });
    writeFileSync(join(waiting, "1"), "text");
    expect(statSync(waiting).mode & 0o777).toBe(0o700);
    staging.open("key");
    staging[Symbol.dispose]();
    const journal = { prefix, parents: [layers.host], directories: [], staging: staging.noted };
    renameSync(waiting, join(layers.host, "stolen"));
    mkdirSync(waiting, 0o700);
    writeFileSync(join(waiting, "precious"), "text");
    expect(() => staging.open("key")).toThrow("hako's own");
    cleanUp(journal);
    expect(readdirSync(waiting)).toEqual(["precious"]);
    rmSync(waiting, { recursive: true });
    symlinkSync("stolen", waiting);
    expect(() => staging.open("key")).toThrow("hako's own");
    cleanUp(journal);
    expect(readdirSync(join(layers.host, "stolen"))).toEqual(["1"]);
    rmSync(waiting);
    renameSync(join(layers.host, "stolen"), waiting);
    // one that was made last, and is not noted
    mkdirSync(join(layers.host, `${prefix}1`));
    cleanUp(journal);
    expect(readdirSync(layers.host)).toEqual([]);
  });

  test("a directory that came to the place of a removed one goes back", () => {
    const layers = new Layers();
    layers.put("host", "gone/file", "text");
    layers.put("host", "other/precious", "text");
    layers.remove("gone");
    using directory = openAt(undefined, layers.directory, O.RDONLY | O.DIRECTORY);
    const { changes } = layers;
    // as if that had happened between the last look and the rename
    const inode = statSync(join(layers.host, "gone"), { bigint: true }).ino;
    renameSync(join(layers.host, "gone"), join(layers.host, "away"));
    renameSync(join(layers.host, "other"), join(layers.host, "gone"));
    const now = statSync(join(layers.host, "gone"), { bigint: true }).ino;
    for (const { path, host } of changes)
      if (path === "/gone" && host) {
        let looks = 0;
        Object.defineProperty(host, "inode", { get: () => (looks++ === 0 ? now : inode) });
      }
    expect(() => applyChanges(directory, layers.record, changes, { force: false }, undefined)).toThrow(
      "/gone",
    );
    expect(readdirSync(join(layers.host, "gone"))).toEqual(["precious"]);
    expect(readdirSync(layers.host).toSorted()).toEqual(["away", "gone"]);
  });
});

test("a record is read as it was written, and refused where it is none", () => {
  const { directory, record } = new Layers();
  expect(readChangesRecord(directory)).toBeUndefined();
  const odd = { ...record, layers: [{ place: "/\udcff", directory: "0", isMount: true }] };
  writeChangesRecord(directory, odd);
  expect(readChangesRecord(directory)).toEqual(odd);
  for (const text of [
    "",
    "{}",
    '{"format":2}',
    JSON.stringify({ ...record, layers: [{ place: "/", directory: "../x", isMount: true }] }),
  ]) {
    writeFileSync(join(directory, "changes.json"), text);
    expect(() => readChangesRecord(directory)).toThrow("changes.json");
  }
});

/** undefined, and told, where no overlay can be: that takes rights, and another file system than an overlay's below /var/tmp. */
function claimedAt(path: string): ClaimedChanges | undefined {
  try {
    return ClaimedChanges.at(path);
  } catch (error) {
    const { code, errno, oneLine } = asHakoError(error);
    if (code !== "unsupported" && errno !== "EPERM") throw error;
    console.log(`skipped: ${oneLine}`);
    return undefined;
  }
}

const skipped = isRootless() ? " (skipped: it takes an overlay of root's)" : "";
test.skipIf(isRootless())(`a place that somebody has unmounted meanwhile has no layer${skipped}`, () => {
  const [path, there, gone] = ["kept", "there", "gone"].map((name) => join(top, name));
  mkdirSync(there ?? "");
  using claimed = claimedAt(path ?? "");
  if (claimed === undefined) return;
  const places = ["/", gone, there].map(String);
  const layers = claimed.begin({ rootfs: "/", image: undefined, places, points: [] });
  expect([...layers]).toEqual([
    ["/", join(path ?? "", "0")],
    [`${there}`, join(path ?? "", "2")],
  ]);
});

test("contents with holes are compared and copied without reading them", () => {
  const directory = join(top, `${count++}`);
  mkdirSync(directory);
  const make = (name: string, text: string, at: number) => {
    const file = join(directory, name);
    writeFileSync(file, "");
    truncateSync(file, 1 << 30);
    using opened = openAt(undefined, file, O.RDWR);
    const bytes = bytesOf(text);
    writeSync(opened.number, bytes, 0, bytes.length, at);
    return file;
  };
  const file = (path: string) => openAt(undefined, path, O.PATH);
  const [one, two, three] = [
    make("one", "x", 1 << 29),
    make("two", "x", 1 << 29),
    make("three", "y", 1 << 29),
  ];
  using a = file(one ?? "");
  using b = file(two ?? "");
  using c = file(three ?? "");
  expect(sameContent(a, b)).toBe(true);
  expect(sameContent(a, c)).toBe(false);
  using copy = openAt(undefined, join(directory, "copy"), O.RDWR | O.CREAT, 0o600);
  copyContent(a, copy);
  expect(sameContent(a, copy)).toBe(true);
  expect(statSync(join(directory, "copy")).blocks).toBeLessThan(4096);
});

test("a tree of any depth is removed, whatever its modes are", () => {
  const directory = join(top, `${count++}`);
  mkdirSync(join(directory, "tree/a/b/c"), { recursive: true });
  writeFileSync(join(directory, "tree/a/b/c/file"), "text");
  symlinkSync("/", join(directory, "tree/a/link"));
  chmodSync(join(directory, "tree/a/b"), 0);
  chmodSync(join(directory, "tree/a"), 0);
  using opened = openAt(undefined, directory, O.RDONLY | O.DIRECTORY);
  removeHostileTree(opened, "tree", "x-");
  expect(existsSync(join(directory, "tree"))).toBe(false);
  expect(readdirSync(directory)).toEqual([]);
  removeHostileTree(opened, "tree", "x-");
});

test("files that somebody's tools act on", () => {
  const acting = [
    ...["/p/.git/hooks/pre-commit", "/p/.git/config", "/p/.git/modules/x/hooks/post-checkout", "/p/.git"],
    ...[
      "/p/.vscode/tasks.json",
      "/p/.idea/x.xml",
      "/p/Makefile",
      "/p/package.json",
      "/p/.envrc",
      "/p/.husky/pre-push",
    ],
    ...["/p/.github/workflows/ci.yml", "/root/.bashrc", "/home/u/.config/fish/config.fish", "/etc/cron.d/x"],
    ...[
      "/etc/systemd/system/x.service",
      "/home/u/.config/systemd/user/x.service",
      "/etc/sudoers.d/x",
      "/usr/bin/ls",
    ],
    ...["/home/u/.ssh/authorized_keys", "/etc/ld.so.preload", "/p/vite.config.ts", "/p/node_modules/.bin/x"],
    ...[
      "/p/.git/worktrees/w/config.worktree",
      "/srv/x.git/hooks/update",
      "/p/.gitmodules",
      "/p/a/.gitattributes",
    ],
    ...[
      "/p/lefthook.yml",
      "/p/.lefthook-local.toml",
      "/p/.devcontainer/devcontainer.json",
      "/p/.exrc",
      "/p/x.bzl",
    ],
    ...[
      "/p/Taskfile.dist.yaml",
      "/p/justfile",
      "/p/CMakeLists.txt",
      "/p/build.rs",
      "/p/tests/conftest.py",
      "/p/Gemfile",
    ],
    ...[
      "/p/lib/x.pth",
      "/p/usercustomize.py",
      "/p/.yarn/releases/yarn.cjs",
      "/p/.gitlab-ci.yml",
      "/p/Dockerfile.dev",
    ],
    ...["/home/u/.config/autostart/x.desktop", "/home/u/.local/bin/ls", "/home/u/.gdbinit", "/p/CLAUDE.md"],
    ...[
      "/etc/passwd-",
      "/etc/rc.local",
      "/usr/local/sbin/x",
      "/usr/local/lib/x.so",
      "/lib64/x",
      "/boot/grub/grub.cfg",
    ],
  ];
  // repositories of others, and bare ones
  acting.push(
    ...[
      "/p/a/.git/config",
      "/p/a/b/.git",
      "/p/a/.git/hooks/pre-commit",
      "/p/x.git/config",
      "/p/x.git/hooks/y",
    ],
    ...["/p/x/HEAD", "/p/.jj/repo/config.toml"],
  );
  for (const path of acting) expect([path, actsOn(path)]).toEqual([path, expect.any(String)]);
  for (const path of [
    "/p/src/main.c",
    "/p/README.md",
    "/p/gitconfig",
    "/p/hooks/x",
    "/var/lib/x",
    "/p/makefile.txt",
    "/p/xMakefile",
    "/p/.github/ISSUE_TEMPLATE.md",
    "/p/etc/passwd",
    "/p/.git/objects/ab/cd",
    "/p/.git/HEAD",
    "/p/.git/refs/remotes/origin/HEAD",
    "/p/HEAD/x",
    "/p/.vscode2/x",
    "/p/boot",
  ])
    expect([path, actsOn(path)]).toEqual([path, undefined]);
  // what policies protect is told, too; of others' repositories in one's own that is not all that is there
  for (const path of HELD.filter((each) => !/\/(modules|worktrees)$/.test(each)))
    expect([path, actsOn(`/p/${path}`)]).toEqual([path, expect.any(String)]);
});

test("what two stars stand for", () => {
  for (const path of [
    "/p/.git/modules/hooks/x",
    "/p/.git/modules/a/b/hooks",
    "/p/.git/modules/x/.git/y/hooks/pre-commit",
    "/p/.git/modules/a/.git/modules/b/c/info/attributes",
    "/p/.git/worktrees/w/config.worktree",
  ])
    expect([path, actsOn(path)]).toEqual([path, expect.stringContaining("git ")]);
  for (const path of [
    "/p/.git/modules",
    "/p/.git/modules/a/xhooks",
    "/p/modules/a/hooks",
    "/p/.git/other/hooks",
  ])
    expect([path, actsOn(path)]).toEqual([path, undefined]);
});

test("a path that is made to be slow isn't", () => {
  const time = (path: string) => {
    const begun = performance.now();
    for (let count = 0; count < 50; count++) actsOn(path);
    return performance.now() - begun;
  };
  const plain = `/${"directory/".repeat(400)}x`;
  time(plain);
  const usual = time(plain);
  for (const part of [".git/modules/", ".git/worktrees/x/", ".git/modules/.git/worktrees/", ".git/"]) {
    const path = `/${part.repeat(4000 / part.length)}x`;
    // one that was interrupted meanwhile is timed again
    const times = () => Math.min(time(path), time(path), time(path));
    expect(times()).toBeLessThan(10 * usual + 50);
  }
});

test("a package.json whose scripts are the same", () => {
  const text = '{"name":"x","scripts":{"test":"true"}}';
  expect(hasSameScripts(text, '{"version":"2","scripts":{"test":"true"}}')).toBe(true);
  expect(hasSameScripts(text, '{"name":"x","scripts":{"test":"true","postinstall":"curl"}}')).toBe(false);
  expect(hasSameScripts(text, '{"name":"x","scripts":{"test":"true"},"dependencies":{"evil":"1"}}')).toBe(
    false,
  );
  expect(hasSameScripts("{", "{")).toBe(false);
});
