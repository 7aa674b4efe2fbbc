import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inOrder, resolvedDestination } from "../../src/container/script/mount-order";
import { mountOf, volumeOf } from "../../src/container/script/script-mounts";
import { O } from "../../src/linux/call/constants";
import { openAt } from "../../src/linux/file/path";
import { MOUNT_OPTIONS } from "../../src/oci/mount-options";

const options = (words: string) => volumeOf(`/a:/b:${words}`).options;
const tmpfs = (words: string) => mountOf(`type=tmpfs,target=/t,${words}`).options;

describe("words of -v and --mount", () => {
  test.each([
    ["", ["rbind", "rprivate"]],
    ["ro", ["rbind", "rro", "rprivate"]],
    ["readonly", ["rbind", "rro", "rprivate"]],
    ["ro=true", ["rbind", "rro", "rprivate"]],
    ["readonly=1", ["rbind", "rro", "rprivate"]],
    ["rw=false", ["rbind", "rro", "rprivate"]],
    ["rro", ["rbind", "rro", "rprivate"]],
    ["rw", ["rbind", "rprivate"]],
    ["ro=false", ["rbind", "rprivate"]],
    ["ro,rw", ["rbind", "rprivate"]],
    ["rw,ro", ["rbind", "rro", "rprivate"]],
    ["rro,rw", ["rbind", "rprivate"]],
    ["bind", ["bind", "rprivate"]],
    ["bind,ro", ["bind", "rro", "rprivate"]],
    ["z", ["rbind", "rprivate"]],
    ["Z,ro", ["rbind", "rro", "rprivate"]],
    ["cached,nocopy,defaults", ["rbind", "rprivate"]],
    ["rslave", ["rbind", "rslave"]],
    ["private,shared", ["rbind", "shared"]],
    ["bind-propagation=rshared", ["rbind", "rshared"]],
    ["noexec,nosuid,nodev", ["rbind", "rnoexec", "rnosuid", "rnodev", "rprivate"]],
    ["noexec,exec", ["rbind", "exec", "rprivate"]],
    ["noatime", ["rbind", "noatime", "rprivate"]],
    ["noatime,relatime", ["rbind", "relatime", "rprivate"]],
    ["bind-nonrecursive", ["bind", "rprivate"]],
    ["bind-nonrecursive=false", ["rbind", "rprivate"]],
    ["bind-recursive=disabled,ro", ["bind", "rro", "rprivate"]],
    ["bind-recursive=writable,ro", ["rbind", "ro", "rprivate"]],
    ["bind-recursive=readonly,ro", ["rbind", "rro", "rprivate"]],
    ["relabel=shared,consistency=cached", ["rbind", "rprivate"]],
    ["src-nofollow,dest-nofollow", ["rbind", "rprivate", "src-nofollow", "dest-nofollow"]],
  ])("bind %p", (words, wanted) => {
    expect(options(words)).toEqual(wanted);
    expect(mountOf(`source=/a,target=/b,${words}`).options).toEqual(wanted);
  });

  test.each([
    ["size=1m", ["size=1m"]],
    ["tmpfs-size=1m,tmpfs-mode=700", ["size=1m", "mode=700"]],
    ["ro,noexec,size=1m", ["ro", "noexec", "size=1m"]],
    ["tmpcopyup,sync", ["tmpcopyup", "sync"]],
    ["notmpcopyup", []],
    ["shared", ["shared"]],
  ])("tmpfs %p", (words, wanted) => {
    expect(tmpfs(words)).toEqual(wanted);
  });

  test.each([
    ["RO", "did you mean ro?"],
    ["Ro", "did you mean ro?"],
    ["r0", "did you mean ro?"],
    ["rx", "did you mean ro?"],
    ["read-only", "did you mean ro?"],
    ["READONLY", "did you mean readonly?"],
    ["readonyl", "did you mean readonly?"],
    ["noexce", "did you mean noexec?"],
    ["rslvae", "did you mean rslave?"],
    [" ro", "unknown option"],
    ["ro ", "unknown option"],
    ["size=1m", "unknown option"],
    ["ro=maybe", "neither true nor false"],
    ["ro=", "neither true nor false"],
    ["noexec=true", "unknown option"],
    ["z=1", "unknown option"],
    ["U", "chown"],
    ["O", "overlay"],
    ["copy", "no volumes"],
    ["upperdir=/u", "overlay"],
    ["idmap", "config.json"],
    ["idmap=uids=0-1-2", "config.json"],
    ["remount", "config.json"],
    ["tmpcopyup", "type=tmpfs"],
    ["sync", "type=tmpfs"],
    ["bind-propagation=", "no propagation"],
    ["bind-propagation=moon", "no propagation"],
    ["bind-recursive=maybe", "bind-recursive"],
    ["bind-recursive=readonly", "needs ro"],
    ["bind-nonrecursive=perhaps", "neither true nor false"],
    ["consistency=strong", "no consistency"],
    ["relabel=all", "no label"],
  ])("%p is refused for a bind", (word, text) => {
    const said = (make: () => unknown) => {
      try {
        make();
      } catch (error) {
        return (error as { oneLine: string }).oneLine;
      }
      return "accepted";
    };
    expect(said(() => volumeOf(`/a:/b:${word}`))).toContain(text);
    expect(said(() => mountOf(`source=/a,target=/b,${word}`))).toContain(text);
  });

  test.each([
    "RO",
    "r0",
    "bind",
    "rbind",
    "siez=1m",
    "size",
    "size=",
    "src-nofollow",
    "bind-propagation=rslave",
    "U",
  ])("%p is refused for a tmpfs", (word) => expect(() => tmpfs(word)).toThrow("--mount"));

  test("every word of config.json is taken for what it is, or refused by name", () => {
    for (const word of MOUNT_OPTIONS.keys()) {
      for (const make of [options, tmpfs]) {
        try {
          make(word);
        } catch (error) {
          expect([word, (error as Error).message]).not.toEqual([word, expect.stringContaining("unknown")]);
        }
      }
    }
  });

  test.each(["/", "//", "/..", "/x/../"])("%p is no target", (target) => {
    expect(() => mountOf(`source=/a,target=${target}`)).toThrow("target can't be /");
    expect(() => volumeOf(`/a:${target}`)).toThrow("target can't be /");
  });
});

describe("the order of mounts", () => {
  let rootfs: string;
  beforeAll(() => {
    rootfs = mkdtempSync(join(tmpdir(), "hako-order-"));
    mkdirSync(join(rootfs, "a/b/c"), { recursive: true });
    mkdirSync(join(rootfs, "data"));
    symlinkSync("/data", join(rootfs, "a/b/link"));
    symlinkSync("../../../../../data", join(rootfs, "a/up"));
    symlinkSync("/not/there/yet", join(rootfs, "dangling"));
    symlinkSync("circle", join(rootfs, "circle"));
  });
  afterAll(() => rmSync(rootfs, { recursive: true, force: true }));

  const mount = (destination: string, type = "tmpfs") => ({ destination, type, source: "/x", options: [] });
  const order = (...given: string[]) =>
    inOrder(
      rootfs,
      [],
      given.map((each) => mount(each)),
    ).map((each) => each.mount.destination);

  test("parents come first, equals as they were given", () => {
    expect(order("/x/y/z", "/x", "/q/r", "/x/y", "/b", "/a")).toEqual([
      "/x",
      "/b",
      "/a",
      "/q/r",
      "/x/y",
      "/x/y/z",
    ]);
  });
  test("slashes, dots and double dots don't count", () => {
    expect(order("/x//y", "/x///", "//z/./", "/q/../w/..//e/f")).toEqual([
      "/x///",
      "//z/./",
      "/x//y",
      "/q/../w/..//e/f",
    ]);
  });
  test("links count as what they lead to", () => {
    expect(order("/data/sub", "/a/b/link")).toEqual(["/a/b/link", "/data/sub"]);
    expect(order("/data/sub", "/a/up/")).toEqual(["/a/up/", "/data/sub"]);
    expect(order("/x/y", "/dangling", "/not/there/yet/more")).toEqual([
      "/x/y",
      "/dangling",
      "/not/there/yet/more",
    ]);
    using root = openAt(undefined, rootfs, O.PATH | O.DIRECTORY);
    expect(resolvedDestination(root, "/a/b/link/x/../y")).toBe("/data/y");
    expect(() => resolvedDestination(root, "/circle/x")).toThrow("too many levels");
  });
  test("what every container has comes first, and goes where a bind mount covers it", () => {
    const usual = ["/proc", "/dev", "/dev/pts", "/dev/shm", "/sys"].map((each) => mount(each, "none"));
    const places = (...given: ReturnType<typeof mount>[]) =>
      inOrder(rootfs, usual, given).map((each) => each.mount.destination);
    expect(places(mount("/x"))).toEqual(["/proc", "/dev", "/sys", "/x", "/dev/pts", "/dev/shm"]);
    expect(places(mount("/dev/", "bind"))).toEqual(["/proc", "/sys", "/dev/"]);
    expect(places(mount("/dev"))).toEqual(["/proc", "/sys", "/dev", "/dev/pts", "/dev/shm"]);
    expect(places(mount("/dev/shm"))).toEqual(["/proc", "/dev", "/sys", "/dev/pts", "/dev/shm"]);
  });
});
