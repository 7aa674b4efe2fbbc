import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { cgroupRoot, parseLayout } from "../../src/cgroup/hierarchy/layout";
import { placeIn } from "../../src/cgroup/hierarchy/paths";
import { cleanPath } from "../../src/linux/file/path-text";
import { FILESYSTEM_MAGIC, tryFilesystemType } from "../../src/linux/file/statfs";
import { decodeOctal, parseMountinfo, visibleMounts } from "../../src/linux/mount/mountinfo";
import { isSystemdPath } from "../../src/oci/unit-path";

const dir = mkdtempSync(`${tmpdir()}/hako-test-cgroup-`);
afterAll(() => rmSync(dir, { recursive: true }));

const HYBRID = `23 1 0:5 / / rw - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:4 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:5 master:6 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
99 23 0:32 /docker/x /var/lib/x/sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
`;
const OWN = "3:cpu,cpuacct:/a\n2:memory:/a/b\n1:name=systemd:/s\n0::/u/v\n";

describe("mountinfo", () => {
  test("optional fields end at the lone dash; octal escapes are decoded", () => {
    const [entry] = parseMountinfo(
      "1 2 0:3 /r\\134 /a\\040b\\011c\\012d rw,nosuid shared:1 master:2 - tmpfs x\\040y rw,size=1k\n",
    );
    expect(entry).toEqual({
      id: 1,
      parent: 2,
      device: "0:3",
      root: "/r\\",
      mountpoint: "/a b\tc\nd",
      options: ["rw", "nosuid"],
      optional: ["shared:1", "master:2"],
      type: "tmpfs",
      source: "x y",
      superOptions: ["rw", "size=1k"],
    });
  });

  test("what is no entry is passed over", () => {
    for (const text of [
      "",
      "a",
      "a - ",
      "a a a a a a a - b c",
      "a \na b \na b c\na b c d",
      "1 2 3 - x y z",
    ]) {
      expect(parseMountinfo(text)).toEqual([]);
    }
  });

  test("a mount that another one was put on is hidden, with all below it", () => {
    const mounts = (text: string) => visibleMounts(parseMountinfo(text)).map(({ id }) => id);
    expect(mounts(HYBRID)).toEqual([23, 31, 32, 35, 40, 41, 99]);
    const onUnified = `${HYBRID}100 41 0:50 / /sys/fs/cgroup/unified rw - tmpfs tmpfs rw\n`;
    expect(mounts(onUnified)).toEqual([23, 31, 32, 35, 40, 99, 100]);
    expect(parseLayout(onUnified, OWN).version).toBe("v1");
    const onAll = `${HYBRID}100 31 0:50 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n`;
    expect(mounts(onAll)).toEqual([23, 99, 100]);
    // the first root of a host, below the one that it switched to
    const twoRoots = `1 1 0:2 / / rw - rootfs rootfs rw\n${HYBRID}`;
    expect(mounts(twoRoots)).toEqual([23, 31, 32, 35, 40, 41, 99]);
  });

  test("no text makes the parser fail", () => {
    const text = fc.array(
      fc.constantFrom(" ", "-", "\n", "a", "/x", "\\040", "cgroup", "cgroup2", "rw,memory", ","),
    );
    fc.assert(
      fc.property(text, (words) => expect(parseLayout(words.join(" "), words.join(":"))).toBeDefined()),
    );
  });

  test("other characters beside escapes survive", () => {
    expect(decodeOctal("/你好\\040世\\")).toBe("/你好 世\\");
  });
});

describe("hierarchies", () => {
  test("hybrid: v1 controllers and the unified hierarchy, with our own cgroups", () => {
    const layout = parseLayout(HYBRID, OWN);
    expect(layout.version).toBe("hybrid");
    const short = layout.hierarchies.map(({ name, mountpoint, own }) => [name, mountpoint, own]);
    expect(short).toEqual([
      ["cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct", "/a"],
      ["memory", "/sys/fs/cgroup/memory", "/a/b"],
      ["name=systemd", "/sys/fs/cgroup/systemd", "/s"],
      ["", "/sys/fs/cgroup/unified", "/u/v"],
    ]);
  });

  test("v1 alone, v2 alone, none", () => {
    expect(parseLayout(HYBRID.replace(/^.*cgroup2.*\n/m, ""), OWN).version).toBe("v1");
    expect(parseLayout("1 2 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/x\n").version).toBe("v2");
    expect(parseLayout("", "").hierarchies).toEqual([]);
  });

  test("a mount of a subdirectory: our own path is seen from there", () => {
    const line = "1 2 0:3 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    expect(parseLayout(line, "1:memory:/docker/x/y\n").hierarchies[0]?.own).toBe("/y");
    expect(parseLayout(line, "1:memory:/elsewhere\n").hierarchies[0]?.own).toBe("/");
  });
});

describe("cgroup root", () => {
  const file = (text: string) => {
    writeFileSync(`${dir}/mountinfo`, text);
    return `${dir}/mountinfo`;
  };
  mkdirSync(`${dir}/weirdCgroup/memory`, { recursive: true });
  mkdirSync(`${dir}/with blank`, { recursive: true });
  const line = (rest: string) => `num1 num2 num3 / ${dir}/weirdCgroup/memory num6 num7 - ${rest}`;

  test("the directory above the first hierarchy", () => {
    expect(cgroupRoot(file(line("cgroup cgroup rw,memory")))).toBe(`${dir}/weirdCgroup`);
    const blank = line("cgroup cgroup rw,memory").replace("weirdCgroup/memory", "with\\040blank/memory");
    expect(cgroupRoot(file(blank))).toBe(`${dir}/with blank`);
  });

  test("v2: the mount itself; hybrid: where the v1 hierarchies are", () => {
    expect(cgroupRoot(file(line("cgroup2 cgroup2 rw")))).toBe(`${dir}/weirdCgroup/memory`);
    const unified = `1 1 0:1 / ${dir}/weirdCgroup/memory/unified rw - cgroup2 none rw\n`;
    expect(cgroupRoot(file(unified + line("cgroup cgroup rw,memory")))).toBe(`${dir}/weirdCgroup`);
  });

  test("nothing found", () => {
    for (const text of ["", line("cgroup cgroup"), "a a a a a a a - b c d", "a \na b \na b c\na b c d"]) {
      expect(() => cgroupRoot(file(text))).toThrow("no cgroup hierarchy is mounted");
    }
    expect(() => cgroupRoot(`${dir}/missing`)).toThrow();
    expect(() => cgroupRoot(file("1 1 0:1 / /missing/memory rw - cgroup cgroup rw,memory"))).toThrow();
  });
});

test("the type of a file system", () => {
  expect(tryFilesystemType(`${dir}/missing`)).toBe(-2);
  expect(tryFilesystemType("/proc")).toBe(FILESYSTEM_MAGIC.proc);
});

describe("paths", () => {
  test.each([
    ["../../../", "/"],
    ["../", "/"],
    [".", "/"],
    ["./../", "/"],
    ["../../../foo", "/foo"],
    ["/../hi", "/hi"],
    ["/../hi/foo", "/hi/foo"],
    ["o / m /../ g", "/o / g"],
    ["/a//b/", "/a/b"],
    ["", "/"],
  ])("%p is cleaned to %p", (path, clean) => {
    expect(cleanPath(path)).toBe(clean);
  });

  test("no path leaves the root", () => {
    const path = fc
      .array(fc.constantFrom("..", ".", "a", "/", "//", " ", "..a", "b.."))
      .map((words) => words.join("/"));
    fc.assert(
      fc.property(path, (text) => {
        const clean = cleanPath(text);
        expect(clean.startsWith("/")).toBe(true);
        expect(
          clean
            .split("/")
            .slice(1)
            .some((name) => name === ".." || name === "."),
        ).toBe(false);
      }),
    );
  });

  test("systemd's form is recognised", () => {
    for (const path of ["foo.slice:kata:afhts2e5d4g5s", "system.slice:kata:afhts2e5d4g5s"]) {
      expect(isSystemdPath(path)).toBe(true);
    }
    for (const path of ["/kata/x", "a:b:c:d", ":::", "", ":", "::", "a:b", "a:b:", ":a:b", "@:@:@"]) {
      expect(isSystemdPath(path)).toBe(false);
    }
  });

  test("absolute, relative, none", () => {
    const [, memory, , unified] = parseLayout(HYBRID, OWN).hierarchies;
    if (memory === undefined || unified === undefined) throw new Error("no hierarchies");
    expect(placeIn(memory, "/x/y", "id")).toBe("/x/y");
    expect(placeIn(memory, "x/../../y", "id")).toBe("/a/b/y");
    expect(placeIn(unified, "x", "id")).toBe("/u/x");
    for (const none of [undefined, ""]) {
      expect(placeIn(memory, none, "id")).toBe("/a/b/id");
      expect(placeIn(unified, none, "id")).toBe("/u/id");
    }
  });
});
