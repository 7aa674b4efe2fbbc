// What a root file system lacks for a container's mounts is made, and removed as long as nobody else has put something there.
import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lackingMountPoints } from "../../src/container/script/mount-points";
import { MountPoints, removeMountPoints } from "../../src/state/mount-points";
import { hasRoot } from "../../src/state/root-in-use";

const directories: string[] = [];

function directory(): string {
  const made = mkdtempSync(join(tmpdir(), "hako-unit-"));
  directories.push(made);
  return made;
}

afterEach(() => {
  for (const each of directories.splice(0)) rmSync(each, { recursive: true, force: true });
});

function made(root: string, ...paths: string[]): MountPoints["made"] {
  using points = MountPoints.make(
    root,
    paths.map((path) => ({ path, file: path.endsWith("file") })),
  );
  return points.made;
}

describe("a root directory in use", () => {
  const own =
    "20 1 8:1 / / rw - ext4 /dev/sda rw\n21 20 8:2 /sub /data rw - ext4 /dev/sdb rw\n22 20 0:5 / /data/tmp rw - tmpfs t rw\n";
  const root = (device: string, path: string) => `40 30 ${device} ${path} / rw - ext4 /dev/sdx rw\n`;

  test("is the root of another mount namespace's mounts", () => {
    expect(hasRoot(root("8:2", "/sub/box"), own, "/data/box")).toBe(true);
    expect(hasRoot(root("8:1", "/box"), own, "/box")).toBe(true);
    expect(hasRoot(root("0:5", "/box"), own, "/data/tmp/box")).toBe(true);
    expect(hasRoot(root("8:2", "/sub"), own, "/data")).toBe(true);
  });

  test("not what is like it: another file system, another directory, a mount elsewhere", () => {
    expect(hasRoot(root("8:1", "/sub/box"), own, "/data/box")).toBe(false);
    expect(hasRoot(root("8:2", "/box"), own, "/data/box")).toBe(false);
    expect(hasRoot(root("8:2", "/sub/box2"), own, "/data/box")).toBe(false);
    expect(hasRoot(root("8:2", "/sub/box").replace(" / rw", " /mnt rw"), own, "/data/box")).toBe(false);
  });
});

describe("mount points", () => {
  test("are made with those above them, and removed with them", () => {
    const root = directory();
    mkdirSync(join(root, "there"));
    const points = made(root, "/there/a/b", "/c/file");
    expect(points.map(({ path }) => path)).toEqual(["/there/a", "/there/a/b", "/c", "/c/file"]);
    removeMountPoints(root, points);
    expect(readdirSync(root)).toEqual(["there"]);
    expect(readdirSync(join(root, "there"))).toEqual([]);
  });

  test("what has another inode, or something in it, is not removed", () => {
    const root = directory();
    const points = made(root, "/full", "/again", "/link", "/file");
    writeFileSync(join(root, "full/x"), "");
    // as long as the first one is there the next one has another inode
    mkdirSync(join(root, "next"));
    rmSync(join(root, "again"), { recursive: true });
    renameSync(join(root, "next"), join(root, "again"));
    mkdirSync(join(root, "other"));
    rmSync(join(root, "link"), { recursive: true });
    symlinkSync("other", join(root, "link"));
    writeFileSync(join(root, "file"), "x");
    removeMountPoints(root, points);
    expect(readdirSync(root).sort()).toEqual(["again", "file", "full", "link", "other"]);
  });

  test("a directory that is gone, or one that can't be written, is no error", () => {
    removeMountPoints("/no/such/directory", [{ path: "/proc", identity: "1 1" }]);
    expect(made("/proc", "/no-such-place")).toEqual([]);
  });

  test("those that lie in another mount are not the directory's", () => {
    const root = directory();
    mkdirSync(join(root, "proc"));
    const mount = (destination: string) => ({ mount: { destination, type: "tmpfs" }, place: destination });
    const lacking = lackingMountPoints(root, ["/proc", "/dev", "/dev/pts", "/a/b"].map(mount));
    expect(lacking.map(({ path }) => path)).toEqual(["/dev", "/a/b"]);
    made(root, "/dev");
    expect(lackingMountPoints(root, [mount("/dev")])).toHaveLength(1);
  });
});
