import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Guarded, guardedPlaces } from "../../src/container/script/guarded-places";
import { inOrder } from "../../src/container/script/mount-order";
import { pathsOfFile } from "../../src/container/script/paths-of-file";
import { volumeOf } from "../../src/container/script/script-mounts";
import { O } from "../../src/linux/call/constants";
import { openAt, openWithoutLinks } from "../../src/linux/file/path";
import { parseMountinfo } from "../../src/linux/mount/mountinfo";

const root = mkdtempSync(join(tmpdir(), "hako-guarded-"));
afterAll(() => rmSync(root, { recursive: true }));
const source = join(root, "source");
for (const dir of ["rootfs/home/u/.ssh", "rootfs/home/u/p/.git/hooks", "rootfs/etc", "source/.git/hooks"])
  mkdirSync(join(root, dir), { recursive: true });
writeFileSync(join(root, "rootfs/etc/shadow"), "");
symlinkSync("p", join(root, "rootfs/home/u/project"));
symlinkSync(".git", join(source, "link"));
symlinkSync("../etc", join(source, "out"));

function guards(flags: Partial<Pick<Guarded, "hide" | "protect" | "keepsWrites">>, ...volumes: string[]) {
  const rootfs = join(root, "rootfs");
  const given = inOrder(rootfs, [], volumes.map(volumeOf));
  return guardedPlaces({ rootfs, keepsWrites: false, hide: [], protect: [], ...flags, given });
}

describe("what is hidden", () => {
  test("a file, a directory, and what is not there, by their paths", () => {
    const hide = ["/home/u/.ssh", "/etc/shadow", "/none"];
    expect(guards({ hide })).toEqual({ masked: hide, covers: [], held: [], replaceable: [] });
  });
  test("a link, by what it leads to as well", () => {
    expect(guards({ hide: ["/home/u/project"] }).masked).toEqual(["/home/u/project", "/home/u/p"]);
    // of a bind mount, where nothing of the kind is in the root file system
    expect(guards({ hide: ["/w/link/hooks"] }, `${source}:/w`).masked).toEqual([
      "/w/link/hooks",
      "/w/.git/hooks",
    ]);
  });
  test("an empty directory is there for what is mounted in it", () => {
    const { masked, covers } = guards({ hide: ["/home/u"] }, `${source}:/home/u/p/x`);
    expect([masked, covers.map(({ destination, type }) => [destination, type])]).toEqual([
      [],
      [["/home/u", "tmpfs"]],
    ]);
  });
  test("where a directory above is bound, too", () => {
    const home = join(root, "rootfs/home");
    expect(guards({ hide: ["/home/u/.ssh"] }, `${home}:/mnt`).masked).toEqual([
      "/home/u/.ssh",
      "/mnt/u/.ssh",
    ]);
  });
});

test("what is guarded in what is really written may be replaced outside", () => {
  const flags = { hide: ["/etc/shadow", "/mnt/.git/none"], protect: ["/mnt/.git/hooks"] };
  expect(guards(flags, `${source}:/mnt`).replaceable.sort()).toEqual([
    `${source}/.git`,
    `${source}/.git/hooks`,
  ]);
  expect(guards({ ...flags, keepsWrites: true }, `${source}:/mnt`).replaceable).toContain(
    `${root}/rootfs/etc/shadow`,
  );
  expect(guards(flags, `${source}:/mnt:ro`).replaceable).toEqual([]);
});

describe("a pattern", () => {
  const host = (flags: Partial<Guarded>) =>
    guardedPlaces({ rootfs: "/", keepsWrites: false, hide: [], protect: [], given: [], ...flags });
  test("stands for what there is of the host's", () => {
    expect(host({ hide: [`${root}/rootfs/**/.ssh`, `${root}/none/*`] }).masked).toEqual([
      `${root}/rootfs/home/u/.ssh`,
    ]);
    expect(host({ protect: [`${root}/*/.git`] }).held.at(-1)?.path).toBe(`${source}/.git`);
    expect(() => host({ protect: [`${root}/none/*`] })).toThrow("it does not exist");
    expect(() => host({ hide: ["/proc/**/none"] })).toThrow("--hide");
  });
  test("stands for as much where something has its very name", () => {
    for (const name of ["a*b", "axb"]) writeFileSync(join(root, name), "");
    expect(host({ hide: [`${root}/a*b`] }).masked).toEqual([`${root}/a*b`, `${root}/axb`]);
    expect(host({ protect: [`${root}/a*b`] }).held.map(({ path }) => path)).toEqual([
      `${root}/a*b`,
      `${root}/axb`,
    ]);
  });
  test("is none in a policy's paths", () => {
    const paths = [{ path: `${root}/a*b` }];
    const { masked, held } = host({ ofPolicy: { hide: paths, protect: [] } });
    expect([masked, held]).toEqual([[`${root}/a*b`], []]);
    expect(host({ ofPolicy: { hide: [], protect: paths } }).held.map(({ path }) => path)).toEqual([
      `${root}/a*b`,
    ]);
  });
  test("finds links, of which those that lead to what is needed hide and protect nothing else", () => {
    mkdirSync(join(root, "links/secret"), { recursive: true });
    mkdirSync(join(root, "links/bound"));
    const targets = [
      "/",
      "/usr",
      "/usr/bin",
      "/tmp",
      process.cwd(),
      "bound",
      "secret",
      "none",
      "/etc/passwd",
    ];
    for (const [index, target] of targets.entries()) symlinkSync(target, join(root, `links/${index}.key`));
    const given = inOrder("/", [], [volumeOf(`${root}/links/bound:${root}/links/bound`)]);
    const at = (name: string) => join(root, "links", name);
    const { masked } = host({ hide: [at("*.key")], given });
    expect(masked.sort()).toEqual(
      [at("6.key"), at("secret"), at("7.key"), at("none"), at("8.key"), "/etc/passwd"].sort(),
    );
    for (const name of ["10.key", "11.key"]) symlinkSync(name === "10.key" ? "11.key" : "10.key", at(name));
    expect(host({ hide: [at("1?.key")] }).masked).toEqual([]);
    expect(host({ protect: [at("*.key")], given }).held.map(({ path }) => path)).not.toContain(at("10.key"));
    // of who has named one it is refused
    expect(() => host({ hide: [at("0.key")] })).toThrow("nothing would be left");
    const held = host({ protect: [at("*.key")], keepsWrites: true, given }).held;
    const links = held.filter(({ isLink }) => isLink).map(({ path }) => path);
    expect(links.sort()).toEqual(targets.map((_, index) => at(`${index}.key`)));
    expect(() => host({ protect: [at("0.key")] })).toThrow("it is the root file system");
    expect(() => host({ protect: [at("7.key")] })).toThrow("it does not exist");
  });
  test("is not for another root file system, which may have something of that name", () => {
    const wrong = "patterns are for --rootfs /";
    expect(() => guards({ hide: ["/etc/*"] })).toThrow(wrong);
    writeFileSync(join(root, "rootfs/etc/*.key"), "");
    expect(() => guards({ hide: ["/etc/*.key"] })).toThrow(wrong);
    expect(() => guards({ protect: ["/etc/*.key"] })).toThrow(wrong);
  });
  test("has no brackets and braces; names have", () => {
    mkdirSync(join(root, "rootfs/app/[slug]"), { recursive: true });
    expect(guards({ hide: ["/app/[slug]"] }).masked).toEqual(["/app/[slug]"]);
    for (const text of ["/app/[a-z]", "/app/{a,b}"]) {
      expect(() => guards({ hide: [text] })).toThrow("brackets and braces are not known");
      expect(() => guards({ protect: [text] })).toThrow("brackets and braces are not known");
    }
  });
});

describe("what is hidden in what is written stays where it is", () => {
  const held = (...args: Parameters<typeof guards>) =>
    guards(...args).held.map(({ path, isLink }) => (isLink ? `${path} link` : path));
  test("so do directories on the way to it, and links that name it", () => {
    const hide = ["/w/.git/hooks"];
    expect(held({ hide }, `${source}:/w`)).toEqual(["/w/.git"]);
    expect(held({ hide }, `${source}:/w:ro`)).toEqual([]);
    expect(held({ hide: ["/w/link/hooks"] }, `${source}:/w`)).toEqual(["/w/link link", "/w/.git"]);
    expect(held({ hide: ["/w/.git", "/w/.git/hooks"] }, `${source}:/w`)).toEqual([]);
    expect(held({ hide: ["/w/.git/none", "/none"] }, `${source}:/w`)).toEqual([]);
    expect(held({ hide: ["/home/u/.ssh"], keepsWrites: true })).toEqual(["/home", "/home/u"]);
    expect(held({ hide }, `${source}:/w`, `${root}:/all`)).toEqual([
      "/w/.git",
      "/all/source",
      "/all/source/.git",
    ]);
  });
  test("what a pattern finds wherever it is may be moved", () => {
    const written = (top: string, text: string) => {
      const given = inOrder("/", [], [volumeOf(`${top}:${top}`)]);
      const guarded = { rootfs: "/", keepsWrites: false, hide: [text], protect: [], given };
      return guardedPlaces(guarded).held.map(({ path }) => path);
    };
    expect(written(source, `${source}/**/hooks`)).toEqual([]);
    expect(written(source, `${source}/*/hooks`)).toEqual([`${source}/.git`]);
    // out of what the pattern is about it may not
    expect(written(root, `${source}/**/hooks`)).toEqual([source, `${source}/.git`]);
  });
});

describe("what is protected", () => {
  const held = (...args: Parameters<typeof guards>) =>
    guards(...args).held.map(({ path, readonly }) => (readonly ? `${path} ro` : path));

  test("where writes are thrown away, alone", () => {
    expect(held({ protect: ["/home/u/p/.git/hooks"] })).toEqual(["/home/u/p/.git/hooks ro"]);
  });
  test("where they stay, with all on the way", () => {
    expect(held({ protect: ["/home/u/p/.git/hooks", "/home/u/p/.git"], keepsWrites: true })).toEqual([
      "/home",
      "/home/u",
      "/home/u/p",
      "/home/u/p/.git ro",
      "/home/u/p/.git/hooks ro",
    ]);
  });
  test("in a bind mount, from there on", () => {
    const protect = ["/w/a/.git/hooks"];
    expect(held({ protect }, `${source}:/w/a`)).toEqual(["/w/a/.git", "/w/a/.git/hooks ro"]);
    expect(held({ protect }, `${source}:/w/a:ro`)).toEqual(["/w/a/.git/hooks ro"]);
    expect(held({ protect: ["/w/a"] }, `${source}:/w/a:ro`)).toEqual(["/w/a ro"]);
  });
  test("wherever the same is bound", () => {
    const volumes = [`${source}:/w`, `${source}/.git:/git`] as const;
    expect(held({ protect: ["/w/.git/hooks"] }, ...volumes)).toEqual([
      "/w/.git",
      "/git/hooks ro",
      "/w/.git/hooks ro",
    ]);
  });
  test("by links, which are held themselves", () => {
    expect(held({ protect: ["/w/link/hooks"] }, `${source}:/w`)).toEqual([
      "/w/link ro",
      "/w/.git",
      "/w/.git/hooks ro",
    ]);
    expect(held({ protect: ["/w/out"] }, `${source}:/w`)).toEqual(["/w/out ro"]);
    expect(held({ protect: ["/w/out"] }, `${source}:/w:ro`)).toEqual(["/etc ro"]);
  });
  test("what is hidden needs none", () => {
    expect(held({ hide: ["/home/u"], protect: ["/home/u/.ssh"] })).toEqual([]);
  });
  test.each([
    ["/w/none", "does not exist"],
    ["/w", "has /w written"],
    ["/", "it is the root file system"],
    ["relative", "absolute"],
  ])("%p is refused", (path, words) => {
    expect(() => guards({ protect: [path] }, `${source}:/w`)).toThrow(words);
  });
});

describe("places of one file", () => {
  const mounts = parseMountinfo(
    [
      "1 0 8:1 / / rw - ext4 /dev/a rw",
      "2 1 8:2 / /home rw - ext4 /dev/b rw",
      "3 1 8:2 /u /srv/u rw - ext4 /dev/b rw",
      "4 1 8:1 /home /mnt rw - ext4 /dev/a rw",
      "5 3 0:9 / /srv/u/tmp rw - tmpfs t rw",
    ].join("\n"),
  );
  test.each([
    ["/home/u/.ssh", ["/home/u/.ssh", "/srv/u/.ssh"]],
    // there it is covered
    ["/home/u/tmp/x", ["/home/u/tmp/x"]],
    ["/srv/u/tmp/x", ["/srv/u/tmp/x"]],
    ["/etc", ["/etc"]],
    ["/mnt/x", ["/mnt/x"]],
  ])("%p", (path, places) => {
    expect(pathsOfFile(path, mounts)).toEqual(places);
  });
});

test("a way without links", () => {
  using dir = openAt(undefined, root, O.PATH | O.DIRECTORY);
  using there = openWithoutLinks(dir, "/rootfs/etc/shadow", O.PATH);
  expect(there.path).toEndWith(`/fd/${there.number}`);
  for (const path of [
    "/rootfs/home/u/project",
    "/rootfs/home/u/project/.git",
    "/rootfs/none",
    "/source/link",
  ])
    expect(() => openWithoutLinks(dir, path, O.PATH)).toThrow();
});
