// What flags of `hako run --rootfs` give to a program, and take from it.
import { describe, expect, test } from "bun:test";
import {
  capabilitySets,
  SCRIPT_CAPABILITIES,
  scriptCapabilities,
} from "../../src/container/script/script-capabilities";
import { scriptDeviceOf } from "../../src/container/script/script-devices";
import { tmpfsOf } from "../../src/container/script/script-mounts";
import { ulimitOf } from "../../src/container/script/script-ulimits";
import { CAPABILITIES, effectiveCapabilities, SYS_RESOURCE } from "../../src/linux/process/capabilities";
import { getLimit } from "../../src/linux/process/rlimit";

describe("capabilities", () => {
  // in a user namespace of its own, so that the caller's count for nothing
  const granted = (add: string[], drop: string[]) => [...scriptCapabilities(add, drop, true).granted].sort();
  const usual = [...SCRIPT_CAPABILITIES].sort();
  const without = (name: string) => usual.filter((each) => each !== name);
  const all = [...granted(["ALL"], [])];

  test("the usual ones; names in every form", () => {
    expect(granted([], [])).toEqual(usual);
    for (const name of ["KILL", "kill", "CAP_KILL", "cap_kill"]) {
      expect(granted([], [name])).toEqual(without("CAP_KILL"));
      expect(granted([name], [])).toEqual(usual);
    }
    expect(granted(["NET_RAW,SYS_TIME"], [])).toEqual([...usual, "CAP_NET_RAW", "CAP_SYS_TIME"].sort());
  });
  test("ALL, with exceptions", () => {
    expect(all.length).toBeGreaterThan(36);
    expect(all.every((name) => CAPABILITIES.some((known) => known === name))).toBe(true);
    expect(granted([], ["ALL"])).toEqual([]);
    expect(granted(["CHOWN"], ["all"])).toEqual(["CAP_CHOWN"]);
    expect(granted(["ALL"], ["CHOWN"])).toEqual(all.filter((name) => name !== "CAP_CHOWN"));
  });
  for (const [add, drop, why] of [
    [["NET_RWA"], [], "did you mean CAP_NET_RAW?"],
    [[], ["CHOWNN"], "did you mean CAP_CHOWN?"],
    [[], [""], "is no capability"],
    [["CAP_"], [], "is no capability"],
    [["KILL"], ["CAP_KILL"], "contradict"],
    [["ALL"], ["ALL"], "contradict"],
  ] as [string[], string[], string][])
    test(JSON.stringify([add, drop]), () => expect(() => scriptCapabilities(add, drop, true)).toThrow(why));
  test("another user than 0 has what was asked for by name", () => {
    const chosen = scriptCapabilities(["NET_RAW"], ["ALL"], true);
    const names = ["CAP_NET_RAW"];
    const sets = { bounding: names, effective: names, permitted: names };
    expect(capabilitySets(chosen, 0)).toEqual(sets);
    expect(capabilitySets(chosen, 7)).toEqual({ ...sets, inheritable: names, ambient: names });
    expect(capabilitySets(scriptCapabilities([], [], true), 7).ambient).toBeUndefined();
  });
});

describe("devices", () => {
  const node = (path: string) => ({ path, type: "c", major: 1, minor: 3, fileMode: 0o666, uid: 0, gid: 0 });
  const rows: [string, string, string][] = [
    ["/dev/null", "/dev/null", "rwm"],
    ["/dev/null:/dev/x", "/dev/x", "rwm"],
    ["/dev/null:r", "/dev/null", "r"],
    ["/dev/null:/dev/x:wr", "/dev/x", "wr"],
  ];
  for (const [spec, path, access] of rows)
    test(spec, () => {
      expect(scriptDeviceOf(spec, false)).toMatchObject({ node: node(path), rule: { allow: true, access } });
    });
  for (const spec of [
    "",
    "null",
    "/dev/null:",
    "/dev/null:x",
    "/dev/null:rr",
    "/dev/null:r:w",
    "/dev/null::r",
    "/dev/null:/dev/x:",
    "/dev/null:/dev/x:r:w",
    "/no/such",
    "/etc/passwd",
    "vendor.com/class=name",
  ])
    test(`${JSON.stringify(spec)} is none`, () =>
      expect(() => scriptDeviceOf(spec, false)).toThrow("--device"));
  test("an ordinary user has no rules", () => {
    expect(() => scriptDeviceOf("/dev/null:r", true)).toThrow("needs root");
    expect(() => scriptDeviceOf("/dev/null:/dev/x", true)).toThrow("at another place it needs root");
    expect(scriptDeviceOf("/dev/null:/dev/null:rwm", true).node).toMatchObject(node("/dev/null"));
  });
});

describe("limits", () => {
  test("one for both, and two", () => {
    expect(ulimitOf("core=0")).toEqual({ type: "RLIMIT_CORE", soft: 0n, hard: 0n });
    expect(ulimitOf("NOFILE=7:9")).toEqual({ type: "RLIMIT_NOFILE", soft: 7n, hard: 9n });
  });
  test("above the caller's needs a right", () => {
    const { hard } = getLimit(0, "RLIMIT_NOFILE");
    const raise = () => ulimitOf(`nofile=${hard + 1n}`);
    if ((effectiveCapabilities() & SYS_RESOURCE) === 0n) expect(raise).toThrow("the caller's hard limit");
    else expect(raise().hard).toBe(hard + 1n);
  });
  for (const spec of [
    "",
    "nofile",
    "nofile=",
    "nofile=x",
    "nofile=9:7",
    "nofile=1:2:3",
    "nofile=1=2",
    "=1",
    "nofile=-2",
  ])
    test(`${JSON.stringify(spec)} is none`, () => expect(() => ulimitOf(spec)).toThrow("--ulimit"));
  test("a name that is nearly one", () =>
    expect(() => ulimitOf("nofiles=1")).toThrow("did you mean nofile?"));
});

describe("file systems in memory", () => {
  const options = (spec: string) => tmpfsOf(spec).options;
  test("what docker takes from them is taken", () => {
    expect(tmpfsOf("/run")).toEqual({
      destination: "/run",
      type: "tmpfs",
      source: "tmpfs",
      options: ["noexec", "nosuid", "nodev"],
    });
    expect(options("/run:size=1m,exec,mode=700")).toEqual(["nosuid", "nodev", "exec", "size=1m", "mode=700"]);
    expect(options("/run:ro")).toContain("ro");
  });
  for (const spec of ["", "run", "/", "/run:RO", "/run:size", "/run:size=1:x", "/run:bind"])
    test(`${JSON.stringify(spec)} is none`, () => expect(() => tmpfsOf(spec)).toThrow("--tmpfs"));
});
