import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseSize } from "../../src/base/size";
import { connectConsoleSocket } from "../../src/container/io/console-socket";
import { type OneId, oneId } from "../../src/container/script/own-ids";
import { scriptBundle } from "../../src/container/script/script";
import { SCRIPT_CAPABILITIES } from "../../src/container/script/script-capabilities";
import { mountOf, volumeOf } from "../../src/container/script/script-mounts";
import { scriptEnvironment } from "../../src/container/script/script-process";
import { userOf } from "../../src/container/user";

let rootfs: string;
beforeAll(() => {
  rootfs = mkdtempSync(join(tmpdir(), "hako-script-"));
  mkdirSync(join(rootfs, "etc"));
  writeFileSync(
    join(rootfs, "etc/passwd"),
    "# comment\nroot:x:0:0::/root:/bin/sh\nuser:x:1000:1001::/home/user:/bin/sh\nbad:x:1x:0::/:/\ngarbage\n\n",
  );
  writeFileSync(join(rootfs, "etc/group"), "root:x:0:\nstaff:x:50:user,other\nwheel:x:10:user\n");
});
afterAll(() => rmSync(rootfs, { recursive: true, force: true }));

const NOTHING = {
  memory: undefined,
  cpus: undefined,
  pids: undefined,
  network: [],
  forward: [],
  publish: [],
  "inject-header": [],
  "network-log": undefined,
  env: [],
  mount: [],
  volume: [],
  user: undefined,
  workdir: undefined,
  "read-only": false,
  hostname: undefined,
  tty: false,
  seccomp: undefined,
  tmpfs: [],
  "no-init": true,
  idle: false,
  "cap-add": [],
  "cap-drop": [],
  device: [],
  ulimit: [],
  entrypoint: undefined,
  discard: false,
  "keep-writes": undefined,
  changes: undefined,
  "map-root": false,
  userns: undefined,
  hide: [],
  write: [],
  protect: [],
  weaker: undefined,
};

describe("sizes", () => {
  const rows: [string, number][] = [
    ["1048576", 1 << 20],
    ["64M", 64 << 20],
    ["64m", 64 << 20],
    ["64MB", 64 << 20],
    ["64MiB", 64 << 20],
    ["1.5G", 1.5 * 2 ** 30],
    ["512k", 512 << 10],
  ];
  for (const [text, bytes] of rows) test(text, () => expect(parseSize(text)).toBe(bytes));
  for (const text of ["", "0", "-1", "M", "64X", "1e3", "64 M", "lots"]) {
    test(`${JSON.stringify(text)} is none`, () => {
      if (text !== "0") expect(parseSize(text)).toBeUndefined();
      expect(() =>
        scriptBundle({ ...NOTHING, rootfs: "/", memory: text }, { id: "x", command: ["true"] }),
      ).toThrow("is not a size");
    });
  }
});

describe("mounts", () => {
  test("bind", () => {
    expect(mountOf("type=bind,source=/a,target=/b,ro")).toEqual({
      destination: "/b",
      type: "bind",
      source: "/a",
      options: ["rbind", "rro", "rprivate"],
    });
  });
  test("tmpfs", () => {
    expect(mountOf("type=tmpfs,target=/t,size=1m").options).toEqual(["size=1m"]);
  });
  for (const spec of [
    "",
    "type=bind,source=/a",
    "source=/a,target=b",
    "target=/b",
    "type=nfs,source=/a,target=/b",
  ]) {
    test(`${JSON.stringify(spec)} is none`, () => {
      expect(() => mountOf(spec)).toThrow("--mount");
    });
  }
});

test("a volume without a target is told what to write", () => {
  expect(() => volumeOf("/run/agent.sock")).toThrow(
    expect.objectContaining({ hint: "/run/agent.sock:/run/agent.sock has it at its own place" }),
  );
});

describe("the one id of an ordinary user", () => {
  const own = { uid: 1000, gid: 1001, groups: [] };
  const idOf = (user: string | undefined, mapRoot = false, where = rootfs) =>
    oneId({ user, asked: true, rootfs: where, mapRoot }, own);
  const rows: [string, () => OneId, number][] = [
    ["root of a directory", () => idOf(undefined), 0],
    ["who has called, with the host's files", () => idOf(undefined, false, "/"), 1000],
    ["--map-root", () => idOf(undefined, true, "/"), 0],
    ["own number", () => idOf("1000"), 1000],
    ["own name", () => idOf("user"), 1000],
    ["own number and group", () => idOf("1000:1001"), 1000],
    ["root by name", () => idOf("root", true), 0],
  ];
  for (const [name, of, uid] of rows) {
    test(name, () => {
      const { user, linux, annotations } = of();
      expect(user).toEqual({ uid, gid: uid === 0 ? 0 : 1001 });
      expect(linux).toEqual({
        uidMappings: [{ containerID: uid, hostID: 1000, size: 1 }],
        gidMappings: [{ containerID: user.gid, hostID: 1001, size: 1 }],
      });
      expect(Object.keys(annotations)).toHaveLength(uid === 0 ? 0 : 1);
    });
  }
  test("the user's other groups, but not with root", () => {
    const with50 = (user?: string) =>
      oneId({ user, asked: true, rootfs, mapRoot: false }, { ...own, groups: [50, 60] }).linux.gidMappings;
    const map = (id: number) => ({ containerID: id, hostID: id, size: 1 });
    expect(with50("user")).toEqual([map(1001), map(50), map(60)]);
    expect(with50()).toEqual([{ containerID: 0, hostID: 1001, size: 1 }]);
  });
  test("a group that newgrp(1) has changed", () => {
    const changed = oneId(
      { user: "1000", asked: true, rootfs, mapRoot: false },
      { uid: 1000, gid: 50, groups: [] },
    );
    expect(changed.user).toEqual({ uid: 1000, gid: 50 });
  });
  for (const text of ["4242", "user:staff", "0:50"])
    test(`${text} is another one`, () => expect(() => idOf(text)).toThrow("has one id"));
  test("an own number is not 0", () => expect(() => idOf("1000", true)).toThrow("contradict"));
});

describe("users", () => {
  test("names and numbers", () => {
    expect(userOf(rootfs, undefined)).toEqual({ uid: 0, gid: 0 });
    expect(userOf(rootfs, "user")).toEqual({ uid: 1000, gid: 1001, additionalGids: [50, 10] });
    expect(userOf(rootfs, "1000")).toEqual({ uid: 1000, gid: 1001, additionalGids: [50, 10] });
    expect(userOf(rootfs, "4242")).toEqual({ uid: 4242, gid: 0, additionalGids: [] });
    expect(userOf(rootfs, "4242", true)).toEqual({ uid: 4242, gid: 4242, additionalGids: [] });
    expect(userOf(rootfs, "user", true)).toEqual({ uid: 1000, gid: 1001, additionalGids: [50, 10] });
    expect(userOf(rootfs, "user:staff")).toEqual({ uid: 1000, gid: 50 });
    expect(userOf(rootfs, "1:2")).toEqual({ uid: 1, gid: 2 });
  });
  for (const text of [
    "",
    "nobody",
    "1000x",
    " 1000",
    "-1",
    "4294967295",
    "bad",
    "user:",
    ":1",
    "a:b:c",
    "user:none",
  ]) {
    test(`${JSON.stringify(text)} is none`, () => {
      expect(() => userOf(rootfs, text)).toThrow("--user");
    });
  }
  test("a link does not leave the root file system", () => {
    const hostile = mkdtempSync(join(tmpdir(), "hako-hostile-"));
    mkdirSync(join(hostile, "etc"));
    symlinkSync("/etc/passwd", join(hostile, "etc/passwd-link"));
    symlinkSync("../../../../../../etc/group", join(hostile, "etc/group"));
    symlinkSync("passwd-link", join(hostile, "etc/passwd"));
    try {
      // both would be links to themselves inside
      expect(() => userOf(hostile, "root")).toThrow();
    } finally {
      rmSync(hostile, { recursive: true });
    }
  });
});

describe("short forms", () => {
  test("a volume is a bind mount", () => {
    expect(volumeOf("/a:/b")).toEqual(mountOf("type=bind,source=/a,target=/b"));
    expect(volumeOf("/a:/b:ro,noexec")).toEqual(mountOf("source=/a,target=/b,ro,noexec"));
    expect(volumeOf(".:/b").source).toBe(process.cwd());
  });
  test("a name without a value takes the caller's", () => {
    expect(
      scriptEnvironment(["A=1"], ["B=2", "C", "D", "E="], (name) => (name === "C" ? "x=y" : undefined)),
    ).toEqual(["A=1", "B=2", "C=x=y", "E="]);
  });
});

describe("scriptBundle", () => {
  test("limits, network, what was asked for", () => {
    const { config, overlay } = scriptBundle(
      {
        ...NOTHING,
        rootfs,
        memory: "64M",
        cpus: "0.5",
        pids: "9",
        network: ["host"],
        env: ["A=b"],
        workdir: "/w",
      },
      { id: "job", command: ["echo", "x"] },
    );
    expect(overlay).toBeUndefined();
    expect(config.linux?.resources).toMatchObject({
      memory: { limit: 64 << 20 },
      cpu: { quota: 50000, period: 100000 },
      pids: { limit: 9 },
    });
    expect(config.linux?.namespaces?.some(({ type }) => type === "network")).toBe(false);
    expect(config.process?.env).toContain("A=b");
    expect(config.process).toMatchObject({ args: ["echo", "x"], cwd: "/w", terminal: false });
    expect(config.hostname).toBe("job");
  });
  test("/ is the host's, under a tmpfs", () => {
    expect(
      scriptBundle({ ...NOTHING, rootfs: "/" }, { id: "job", command: ["true"], rootless: false }).overlay,
    ).toEqual({
      writes: undefined,
    });
  });
  test("an ordinary user gets a user namespace, and not the host's root", () => {
    const { config } = scriptBundle({ ...NOTHING, rootfs }, { id: "job", command: ["true"], rootless: true });
    const types = config.linux?.namespaces?.map(({ type }) => type) ?? [];
    expect(types).toContain("user");
    expect(types).toContain("network");
    const host = scriptBundle({ ...NOTHING, rootfs: "/" }, { id: "job", command: ["true"], rootless: true });
    expect(host.overlay?.places?.map(({ path }) => path)).toContain("/tmp");
    expect(host.config.process?.capabilities?.bounding ?? []).toEqual(
      process.getuid?.() === 0 ? [...SCRIPT_CAPABILITIES] : [],
    );
  });
  const wrong: [Partial<typeof NOTHING> | Record<string, unknown>, string][] = [
    [{ cpus: "0" }, "--cpus"],
    [{ cpus: "many" }, "--cpus"],
    [{ pids: "0" }, "--pids"],
    [{ pids: "x" }, "--pids"],
    [{ network: ["moon"] }, "--network"],
    [{ env: ["=A"] }, "--env"],
    [{ volume: ["/a"] }, "--volume"],
    [{ volume: ["/a:b"] }, "--volume"],
    [{ volume: ["/a:/b:ro:x"] }, "--volume"],
  ];
  for (const [values, text] of wrong) {
    test(JSON.stringify(values), () => {
      expect(() => scriptBundle({ ...NOTHING, rootfs, ...values }, { id: "job", command: ["true"] })).toThrow(
        text,
      );
    });
  }
  test("a policy's mount is told as the policy's", () => {
    const guards = { hide: [], protect: [], hideOnHost: [], hideElsewhere: [] };
    const policy = {
      name: "./p",
      mounts: { volume: ["/a"], tmpfs: [] },
      guards,
      annotations: {},
      gitIndex: undefined,
    };
    const volume = ["/a"];
    const run = () => scriptBundle({ ...NOTHING, rootfs, volume }, { id: "job", command: ["true"], policy });
    expect(run).toThrow(
      expect.objectContaining({ oneLine: expect.stringContaining("policy ./p: --volume") }),
    );
  });
  test("no command, no root file system", () => {
    expect(() => scriptBundle({ ...NOTHING, rootfs }, { id: "job", command: [] })).toThrow("missing COMMAND");
    expect(() => scriptBundle({ ...NOTHING, rootfs: "/no/such" }, { id: "job", command: ["true"] })).toThrow(
      "--rootfs /no/such",
    );
  });
});

test("a terminal whose container is not run in the foreground needs a console socket, and a socket a terminal", () => {
  expect(() => connectConsoleSocket(true, undefined, true)).toThrow("needs --console-socket");
  expect(() => connectConsoleSocket(false, "/no/such", false)).toThrow("the container has no terminal");
  for (const [terminal, detach] of [
    [true, false],
    [false, true],
    [false, false],
  ] as const)
    expect(connectConsoleSocket(terminal, undefined, detach)).toBeUndefined();
});
