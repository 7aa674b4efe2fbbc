import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { readLayout } from "../../src/cgroup";

const BUN = resolve(import.meta.dir, "../../node_modules/.bin/bun");
const DRIVER = join(import.meta.dir, "fixtures/rootfs-driver.ts");

interface Seen {
  error?: string;
  seen: Record<string, unknown>;
  writes: Record<string, string>;
  modes: Record<string, string>;
  mounts: string[];
  warnings: string[];
  cwd: string;
}

let dir: string;
let turn = 0;

beforeAll(() => {
  dir = mkdtempSync("/tmp/hako-rootfs-");
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function makeRoot(): string {
  const rootfs = join(dir, `root${turn++}`);
  mkdirSync(join(rootfs, "bin"), { recursive: true });
  copyFileSync("/usr/bin/busybox", join(rootfs, "bin/busybox"));
  return rootfs;
}

const PROC = { destination: "/proc", type: "proc", source: "proc" };
const DEV = {
  destination: "/dev",
  type: "tmpfs",
  source: "tmpfs",
  options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
};
const PTS = {
  destination: "/dev/pts",
  type: "devpts",
  source: "devpts",
  options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
};
const USUAL = [PROC, DEV, PTS];

interface Options {
  mounts?: unknown[];
  linux?: Record<string, unknown>;
  readonly?: boolean;
  rootfs?: string;
  /** More flags of unshare. */
  flags?: string[];
  [key: string]: unknown;
}

function run(options: Options): Seen {
  const { mounts = USUAL, linux = {}, readonly = false, rootfs = makeRoot(), flags = [], ...more } = options;
  const config = {
    root: { path: rootfs, readonly },
    mounts,
    linux: { namespaces: [{ type: "mount" }], ...linux },
  };
  const file = join(dir, "input.json");
  writeFileSync(file, JSON.stringify({ config, rootfs, bundle: dir, ...more }));
  const done = spawnSync(
    "unshare",
    ["--mount", "--pid", "--ipc", "--uts", "--net", ...flags, "--fork", BUN, DRIVER, file],
    { encoding: "utf8" },
  );
  const warning = /^hako: warning: .*\n/gm;
  expect(done.stderr.replace(warning, "")).toBe("");
  return { ...JSON.parse(done.stdout), warnings: done.stderr.match(warning) ?? [] };
}

describe.each([false, true])("a root file system, noPivot %p", (noPivot) => {
  test("has devices, links, masks, kernel parameters, a console", () => {
    const result = run({
      noPivot,
      console: true,
      readonly: true,
      mounts: [
        ...USUAL,
        { destination: "/dev/mqueue", type: "mqueue", source: "mqueue" },
        { destination: "/tmp", type: "tmpfs", options: ["ro"] },
      ],
      linux: {
        devices: [{ path: "/dev/net/tun", type: "c", major: 10, minor: 200, fileMode: 0o600 }],
        sysctl: { "net.ipv4.ip_forward": "1", "kernel/msgmax": "9000" },
        maskedPaths: ["/proc/kcore", "/proc/acpi", "/proc/irq", "/proc/scsi", "/nowhere"],
        readonlyPaths: ["/proc/sys", "/nowhere/either"],
      },
      look: [
        "/dev/null",
        "/dev/net/tun",
        "/dev/fd",
        "/dev/ptmx",
        "/dev/console",
        "/proc/irq",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/kernel/msgmax",
        "/",
      ],
      write: ["/x", "/tmp/x", "/proc/sys/kernel/msgmax", "/dev/shm-x"],
    });
    expect(result.error).toBeUndefined();
    expect(result.seen["/dev/null"]).toBe("c 1:3 666");
    expect(result.seen["/dev/net/tun"]).toBe("c 10:200 600");
    expect(result.seen["/dev/fd"]).toBe("/proc/self/fd");
    expect(result.seen["/dev/ptmx"]).toBe("pts/ptmx");
    expect(result.seen["/dev/console"]).toMatch(/^c 136:\d+ 620$/);
    expect(result.seen["/proc/irq"]).toEqual([]);
    expect(result.seen["/proc/sys/net/ipv4/ip_forward"]).toBe("1\n");
    expect(result.seen["/proc/sys/kernel/msgmax"]).toBe("9000\n");
    expect(result.seen["/"]).toEqual(["bin", "dev", "proc", "tmp"]);
    expect(result.writes).toEqual({
      "/x": "EROFS",
      "/tmp/x": "EROFS",
      "/proc/sys/kernel/msgmax": "EROFS",
      "/dev/shm-x": "written",
    });
    expect(result.cwd).toBe("/");
  });
});

test("a device that can't be made leaves no node", () => {
  const rootfs = makeRoot();
  // more than a device number has room for; config.json can't ask for it
  const linux = { devices: [{ path: "/dev/x", type: "c", major: 4096, minor: 0 }] };
  expect(run({ rootfs, mounts: [PROC], linux }).error).toContain("/linux/devices/0: make device /dev/x");
  expect(existsSync(join(rootfs, "dev/x"))).toBe(false);
  writeFileSync(join(rootfs, "dev/x"), "");
  expect(run({ rootfs, mounts: [PROC], linux }).error).toContain("exists and is something else");
  expect(existsSync(join(rootfs, "dev/x"))).toBe(true);
});

describe("bind mounts", () => {
  test("make their targets, keep to their options, and take relative sources", () => {
    mkdirSync(join(dir, "volume"), { recursive: true });
    writeFileSync(join(dir, "volume/data"), "data");
    const result = run({
      mounts: [
        ...USUAL,
        {
          destination: "/deep/volume",
          type: "bind",
          source: "volume",
          options: ["rbind", "ro", "nosuid", "rprivate"],
        },
        { destination: "/etc/file", type: "bind", source: join(dir, "volume/data"), options: ["bind", "rw"] },
      ],
      look: ["/deep/volume/data", "/etc/file"],
      write: ["/deep/volume/data"],
    });
    expect(result.seen).toEqual({ "/deep/volume/data": "data", "/etc/file": "data" });
    expect(result.writes["/deep/volume/data"]).toBe("EROFS");
    const line = result.mounts.find((mount) => mount.includes(" /deep/volume "));
    expect(line).toContain(" ro,nosuid");
    expect(line).not.toContain("shared:");
  });

  test.each([
    [{ destination: "/bin/busybox", source: "/tmp", options: ["bind"] }, "/mounts/0", "not a directory"],
    [{ destination: "/bin", source: "/usr/bin/busybox", options: ["bind"] }, "/mounts/0", "not a directory"],
    [{ destination: "/x", source: "/no/such", options: ["bind"] }, "/mounts/0", "no such file or directory"],
    [{ destination: "/x", type: "nosuchfs" }, "nosuchfs", "no such device"],
    [{ destination: "/x", type: "tmpfs", options: ["frobnicate=1"] }, "frobnicate", "invalid argument"],
    [{ destination: "/proc/self", source: "/tmp", options: ["bind"] }, "/proc/self", "inside /proc"],
    [{ destination: "/proc", source: "/tmp", options: ["bind"] }, "/mounts/0", "only a proc file system"],
  ])("%j is refused", (mount, where, why) => {
    const { error } = run({ mounts: [mount] });
    expect(error).toContain(where);
    expect(error).toContain(why);
    // docker would take it for what the program is, and exit with 126
    expect(error).not.toContain("is a directory");
  });
});

describe("a hostile root file system", () => {
  test.each(["proc", "sys"])("/%s as a link is refused", (name) => {
    const rootfs = makeRoot();
    symlinkSync("/bin", join(rootfs, name));
    const type = name === "sys" ? "sysfs" : "proc";
    const { error } = run({ rootfs, mounts: [{ destination: `/${name}`, type, source: type }] });
    expect(error).toContain("must be an ordinary directory");
  });

  test("a link into procfs is no way around the list", () => {
    const rootfs = makeRoot();
    symlinkSync("/proc/sys", join(rootfs, "way"));
    const { error } = run({ rootfs, mounts: [...USUAL, { destination: "/way/kernel", type: "tmpfs" }] });
    expect(error).toContain("inside a proc file system");
  });

  test("/dev and targets that are links to the host's stay inside", () => {
    const rootfs = makeRoot();
    const victim = join(dir, "victim");
    mkdirSync(victim);
    symlinkSync(`../../../../../..${victim}`, join(rootfs, "dev"));
    symlinkSync(victim, join(rootfs, "data"));
    const { error, seen } = run({
      rootfs,
      mounts: [PROC, { destination: "/data/sub", type: "tmpfs" }],
      look: [`${victim}/null`, "/dev"],
    });
    expect(error).toBeUndefined();
    expect(seen[`${victim}/null`]).toBe("c 1:3 666");
    expect(readdirSync(victim)).toEqual([]);
  });

  test("a /dev/null that is something else is neither used nor changed", () => {
    const rootfs = makeRoot();
    mkdirSync(join(rootfs, "dev"));
    symlinkSync("/proc/sys/kernel/core_pattern", join(rootfs, "dev/null"));
    const { error } = run({ rootfs, mounts: [PROC] });
    expect(error).toContain("/dev/null exists and is something else");
  });
});

describe("other mounts", () => {
  test("tmpfs keeps the mode of what it covers, and copies up", () => {
    const rootfs = makeRoot();
    mkdirSync(join(rootfs, "var/lib"), { recursive: true, mode: 0o700 });
    writeFileSync(join(rootfs, "var/lib/file"), "old", { mode: 0o640 });
    symlinkSync("file", join(rootfs, "var/lib/link"));
    mkdirSync(join(rootfs, "sticky"), { mode: 0o700 });
    const result = run({
      rootfs,
      mounts: [
        ...USUAL,
        { destination: "/var/lib", type: "tmpfs", options: ["tmpcopyup", "ro"] },
        { destination: "/sticky", type: "tmpfs" },
      ],
      look: ["/var/lib", "/var/lib/file", "/var/lib/link"],
      modes: ["/sticky", "/var/lib/file"],
      write: ["/var/lib/x"],
    });
    expect(result.error).toBeUndefined();
    expect(result.seen).toEqual({
      "/var/lib": ["file", "link"],
      "/var/lib/file": "old",
      "/var/lib/link": "file",
    });
    expect(result.modes).toEqual({ "/sticky": "700", "/var/lib/file": "640" });
    expect(result.writes["/var/lib/x"]).toBe("EROFS");
  });

  test("an overlay with more layers than fsconfig takes in one string", () => {
    const layers = Array.from({ length: 8 }, (_, index) =>
      join(dir, `layer-with-quite-a-long-name-${index}`),
    );
    for (const [index, layer] of layers.entries()) {
      mkdirSync(layer);
      writeFileSync(join(layer, `f${index}`), "");
    }
    const options = [`lowerdir=${layers.join(":")}`, "ro"];
    const result = run({
      mounts: [...USUAL, { destination: "/o", type: "overlay", source: "overlay", options }],
      look: ["/o"],
    });
    expect(result.error).toBeUndefined();
    expect(result.seen["/o"]).toHaveLength(8);
  });

  test("the host's /dev, bound, is left as it is", () => {
    const result = run({
      mounts: [PROC, { destination: "/dev", type: "bind", source: "/dev", options: ["rbind", "rslave"] }],
      look: ["/dev/null"],
    });
    expect(result.seen["/dev/null"]).toBe("c 1:3 666");
  });

  test("no cgroup of its own: the host's, read-only", () => {
    if (!existsSync("/sys/fs/cgroup")) return console.log("skipped: the host has no /sys/fs/cgroup");
    const cgroup = { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup" };
    const sysfs = { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "ro"] };
    for (const [options, warnings] of [
      [["ro"], 0],
      [["rro"], 0],
      [["nosuid"], 1],
    ] as const) {
      const mounts = [...USUAL, sysfs, { ...cgroup, options: [...options] }];
      const result = run({ mounts, write: ["/sys/fs/cgroup/x"] });
      expect(result.error).toBeUndefined();
      expect(result.warnings).toHaveLength(warnings);
      expect(result.writes["/sys/fs/cgroup/x"]).toBe("EROFS");
    }
  });

  test.each([false, true])("cgroups of version 1, in a namespace: %p", (newCgroupNamespace) => {
    const { version, hierarchies } = readLayout();
    if (version === "v2") {
      console.log("skipped: the host has no cgroups of version 1");
      return;
    }
    const cgroup = {
      version,
      hierarchies: hierarchies.map(({ mountpoint, name }) => ({ mountpoint, name, path: "/" })),
    };
    const options = ["ro", "nosuid", "nodev", "noexec"];
    const mount = { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options };
    const sysfs = { destination: "/sys", type: "sysfs", source: "sysfs", options: ["ro"] };
    const result = run({
      cgroup,
      newCgroupNamespace,
      flags: newCgroupNamespace ? ["--cgroup"] : [],
      mounts: [...USUAL, sysfs, mount],
      look: ["/sys/fs/cgroup"],
      write: ["/sys/fs/cgroup/x", "/sys/fs/cgroup/memory/tasks"],
    });
    expect(result.error).toBeUndefined();
    const names = hierarchies.map(({ mountpoint }) => mountpoint.split("/").at(-1));
    expect(result.seen["/sys/fs/cgroup"]).toEqual(expect.arrayContaining(names));
    expect(new Set(Object.values(result.writes))).toEqual(new Set(["EROFS"]));
  });

  test("in a user namespace with a network namespace of its own", () => {
    const rootfs = makeRoot();
    const result = run({
      rootfs,
      userNamespace: true,
      flags: ["--user", "--map-root-user"],
      mounts: [
        PROC,
        DEV,
        { ...PTS, options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
        { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
      ],
      linux: {
        maskedPaths: ["/proc/kcore", "/proc/irq"],
        readonlyPaths: ["/proc/sys"],
        sysctl: { "net.ipv4.ip_forward": "1" },
      },
      readonly: true,
      look: ["/dev/null", "/proc/irq", "/proc/sys/net/ipv4/ip_forward"],
      write: ["/x"],
    });
    expect(result.error).toBeUndefined();
    expect(result.seen).toEqual({
      "/dev/null": "c 1:3 666",
      "/proc/irq": [],
      "/proc/sys/net/ipv4/ip_forward": "1\n",
    });
    expect(result.writes["/x"]).toBe("EROFS");
  });

  test.each(["shared", "rshared", "private", "unbindable"])("root propagation %s", (rootfsPropagation) => {
    const result = run({ linux: { rootfsPropagation } });
    expect(result.error).toBeUndefined();
    const root = result.mounts.find((mount) => mount.includes(" / / ") || mount.split(" ")[4] === "/") ?? "";
    expect(root.includes("shared:")).toBe(rootfsPropagation.endsWith("shared"));
  });
});
