import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { HakoError } from "../../src/base/errors";
import { type Config, parseProcess, readConfig } from "../../src/oci/config";
import { defaultConfig } from "../../src/oci/default";
import { parseJson, pointer } from "../../src/oci/json";
import { parseResources } from "../../src/oci/resources-document";
import { semanticProblems } from "../../src/oci/semantics";
import { parseConfig } from "../parse-config";

type Json = Record<string, unknown>;

function base(): Json {
  return structuredClone(defaultConfig({ rootless: false })) as unknown as Json;
}

/** The default config with the value at a path replaced. */
function withValue(keys: (string | number)[], value: unknown): Json {
  const config = base();
  let at = config;
  for (const key of keys.slice(0, -1)) {
    at[key] ??= {};
    at = at[key] as Json;
  }
  at[keys.at(-1) ?? ""] = value;
  return config;
}

/** A device that shall be made. */
function device(major: number, minor: number): Json {
  return { path: "/dev/x", type: "c", major, minor };
}

function problems(config: unknown): string[] {
  const read = readConfig(JSON.stringify(config), "config.json");
  if ("problems" in read) return read.problems.map(({ pointer: where, message }) => `${where}: ${message}`);
  return semanticProblems(read.config).map(({ pointer: where, message }) => `${where}: ${message}`);
}

describe("parseConfig", () => {
  test("what spec writes is right", () => {
    expect(problems(base())).toEqual([]);
    expect(problems(defaultConfig({ rootless: true }))).toEqual([]);
  });

  test("null is nothing, unknown fields are ignored", () => {
    const config = parseConfig(
      JSON.stringify({ ...base(), hooks: null, annotations: null, windows: { x: 1 }, moon: true }),
      "config.json",
    );
    expect(config.hooks).toBeUndefined();
    expect(config.annotations).toBeUndefined();
    expect("moon" in config).toBe(false);
  });

  test("integers beyond 2^53 keep their value", () => {
    const limit = '{"type":"RLIMIT_CORE","soft":18446744073709551615,"hard":18446744073709551615}';
    const source = JSON.stringify(base()).replace(/"rlimits":\[[^\]]*\]/, `"rlimits":[${limit}]`);
    expect(parseConfig(source, "config.json").process?.rlimits?.[0]?.hard).toBe(18446744073709551615n);
    expect(parseJson("[9007199254740993, 1.5, 3, 1e20]", "x")).toEqual([9007199254740993n, 1.5, 3, 1e20]);
  });

  test("a document that is not JSON", () => {
    expect(() => parseConfig("{", "/b/config.json")).toThrow("/b/config.json: not JSON");
    expect(() => parseConfig("", "/b/config.json")).toThrow("/b/config.json: not JSON");
    expect(() => parseConfig("[]", "/b/config.json")).toThrow("the document: expected an object, got []");
  });

  test("pointers are escaped", () => {
    expect(pointer(["a/b", "c~d", 0])).toBe("/a~1b/c~0d/0");
  });

  const rows: [(string | number)[], unknown, string][] = [
    [["ociVersion"], undefined, "/ociVersion: missing"],
    [["ociVersion"], "2.0.0", "/ociVersion: expected a version 1.x.y"],
    [["ociVersion"], "1.0.0garbage", "/ociVersion: expected a version 1.x.y"],
    [["ociVersion"], "1.2.3.4", "/ociVersion: expected a version 1.x.y"],
    [["ociVersion"], "1.0.01", "/ociVersion: expected a version 1.x.y"],
    [["ociVersion"], "1.0.0-01", "/ociVersion: expected a version 1.x.y"],
    [["ociVersion"], "1.0.0-", "/ociVersion: expected a version 1.x.y"],
    [["ociVersion"], "1.0.0+a+b", "/ociVersion: expected a version 1.x.y"],
    [["ociVersion"], "1.0.0\n", "/ociVersion: expected a version 1.x.y"],
    [["process", "args", 0], 5, "/process/args/0: expected a string, got 5"],
    [["process", "args"], "sh", '/process/args: expected an array, got "sh"'],
    [["process", "cwd"], undefined, "/process/cwd: missing"],
    [["process", "user", "uid"], -1, "/process/user/uid: expected a number from 0 to 4294967294"],
    [["process", "user", "uid"], 4294967295, "/process/user/uid: expected a number from 0"],
    [["process", "user", "uid"], 1.5, "/process/user/uid: expected an integer"],
    [["process", "user", "umask"], 0o1000, "/process/user/umask: expected a number from 0 to 511"],
    [["process", "oomScoreAdj"], 1001, "/process/oomScoreAdj: expected a number from -1000 to 1000"],
    [["process", "env", 0], "A\0B", "/process/env/0: a NUL byte is not allowed"],
    [["process", "rlimits", 0, "soft"], "x", '/process/rlimits/0/soft: expected an integer, got "x"'],
    [["mounts", 0, "destination"], undefined, "/mounts/0/destination: missing"],
    [["linux", "resources", "memory"], { limit: 1.5 }, "/linux/resources/memory/limit: expected an integer"],
    [["linux", "sysctl"], { "net.a": 1 }, "/linux/sysctl/net.a: expected a string, got 1"],
    [["annotations"], { "a/b": 1 }, "/annotations/a~1b: expected a string"],
    [["root"], "rootfs", '/root: expected an object, got "rootfs"'],
    [["linux", "personality"], { domain: "linux" }, "/domain: expected one of LINUX, LINUX32, got"],
    [["linux", "devices"], [device(4096, 0)], "/linux/devices/0/major: expected a number from 0 to 4095"],
    [["linux", "devices"], [device(-1, 0)], "/linux/devices/0/major: expected a number from 0 to 4095"],
    [
      ["linux", "devices"],
      [device(1, 1 << 20)],
      "/linux/devices/0/minor: expected a number from 0 to 1048575",
    ],
    [["linux", "devices"], [device(1, -1)], "/linux/devices/0/minor: expected a number from 0 to 1048575"],
  ];
  for (const [keys, value, text] of rows) {
    test(`${pointer(keys)} = ${JSON.stringify(value)}`, () => {
      expect(problems(withValue(keys, value)).join("\n")).toContain(text);
    });
  }
});

describe("integers", () => {
  const INT64 = "from -9223372036854775808 to 9223372036854775807";
  const UINT64 = "from 0 to 18446744073709551615";
  const BYTES = "from -1 to 9223372036854775807";
  const WEIGHT = "from 10 to 1000";
  const RULE = "from -1 to 2147483647";
  /** Where it is, with the lists and objects on the way; numbers as they are written; what is taken, and what is told. */
  const rows: [pointer: string, taken: string[], refused: string[], range: string][] = [
    ["/process/rlimits/0/soft", ["0"], ["-1", "18446744073709551616", "1e+300"], UINT64],
    ["/process/rlimits/0/hard", ["18446744073709551615"], ["-1"], UINT64],
    ["/process/scheduler/runtime", ["0"], ["-1"], UINT64],
    ["/process/scheduler/deadline", ["0"], ["-1"], UINT64],
    ["/process/scheduler/period", ["0"], ["-1"], UINT64],
    ["/linux/timeOffsets/boottime/secs", ["-5", "9223372036854775807"], ["18446744073709551611"], INT64],
    ["/linux/resources/devices/0/major", ["-1", "5000000"], ["-2", "9223372036854775808"], RULE],
    ["/linux/resources/devices/0/minor", ["-1"], ["-9223372036854775809"], RULE],
    ...["limit", "reservation", "swap", "kernel", "kernelTCP"].map((field): (typeof rows)[number] => [
      `/linux/resources/memory/${field}`,
      ["-1", "0", "9223372036854775807"],
      ["-2", "9223372036855824384", "18446744073709551615"],
      BYTES,
    ]),
    ["/linux/resources/memory/swappiness", ["0", "18446744073709551615"], ["-1", "101"], "from 0 to 100"],
    ["/linux/resources/cpu/shares", ["0"], ["-1"], UINT64],
    ["/linux/resources/cpu/period", ["0"], ["-1"], UINT64],
    ["/linux/resources/cpu/burst", ["0"], ["-1"], UINT64],
    ["/linux/resources/cpu/realtimePeriod", ["0"], ["-1"], UINT64],
    ["/linux/resources/cpu/quota", ["-1"], ["9223372036854775808"], INT64],
    ["/linux/resources/cpu/realtimeRuntime", ["-1"], ["9223372036854775808"], INT64],
    ["/linux/resources/cpu/idle", ["1"], ["2", "9223372036854775808"], "from 0 to 1"],
    ["/linux/resources/pids/limit", ["-1", "0"], ["9223372036854775808"], INT64],
    ["/linux/resources/blockIO/weight", ["0", "10", "1000"], ["-1", "9", "65536"], WEIGHT],
    ["/linux/resources/blockIO/leafWeight", ["0", "10", "1000"], ["-1", "9", "65536"], WEIGHT],
    ["/linux/seccomp/syscalls/0/args/0/value", ["18446744073709551615"], ["-1"], UINT64],
    ["/linux/seccomp/syscalls/0/args/0/valueTwo", ["0"], ["-1", "18446744073709551616"], UINT64],
  ];
  /** What is there beside the field. */
  const around: [string, unknown][] = [
    ["rlimits", [{ type: "RLIMIT_CORE", soft: 0, hard: "HERE" }]],
    ["scheduler", { policy: "SCHED_DEADLINE" }],
    [
      "syscalls",
      [{ names: ["read"], action: "SCMP_ACT_LOG", args: [{ index: 0, value: 0, op: "SCMP_CMP_EQ" }] }],
    ],
  ];

  /** The problem of a field with a number as it is written. */
  function told(where: string, number: string): string {
    const keys = where.slice(1).split("/");
    const config = base();
    let at = config;
    keys.forEach((key, index) => {
      const known = around.find(([name]) => name === key)?.[1];
      if (index === keys.length - 1) at[key] = "NUMBER";
      else if (known !== undefined) at[key] = structuredClone(known);
      else at[key] ??= /^\d/.test(keys[index + 1] ?? "") ? [] : {};
      at = at[key] as Json;
    });
    if (where.includes("seccomp")) ((config.linux as Json).seccomp as Json).defaultAction = "SCMP_ACT_ALLOW";
    const source = JSON.stringify(config)
      .replace('"NUMBER"', number)
      .replace('"HERE"', "18446744073709551615");
    const read = readConfig(source, "config.json");
    return "problems" in read
      ? read.problems.map((each) => `${each.pointer}: ${each.message}`).join("; ")
      : "";
  }

  for (const [where, taken, refused, range] of rows) {
    test(where, () => {
      for (const number of taken) expect(told(where, number)).toBe("");
      for (const number of refused)
        expect(told(where, number)).toStartWith(
          `${where}: expected a number ${range}, got ${number.slice(0, 4)}`,
        );
    });
  }
});

test("a list is no object, wherever one is expected", () => {
  const rows: (string | number)[][] = [
    ["hooks"],
    ["annotations"],
    ["process"],
    ["root"],
    ["linux"],
    ...["user", "capabilities", "consoleSize", "scheduler", "ioPriority", "execCPUAffinity"].map((key) => [
      "process",
      key,
    ]),
    ["mounts", 0],
    ...[
      "resources",
      "sysctl",
      "seccomp",
      "timeOffsets",
      "netDevices",
      "intelRdt",
      "memoryPolicy",
      "personality",
    ].map((key) => ["linux", key]),
    ["linux", "namespaces", 0],
    ...["memory", "cpu", "pids", "blockIO", "network", "rdma", "unified"].map((key) => [
      "linux",
      "resources",
      key,
    ]),
  ];
  for (const keys of rows)
    expect(problems(withValue(keys, []))).toEqual([`${pointer(keys)}: expected an object, got []`]);
});

test("versions of the runtime spec", () => {
  for (const version of ["1.0.0", "1.0.2-dev", "1.1.0-rc.2+dev", "1.3.0+5.x-y", "1.0.0--1.0a"])
    expect(problems(withValue(["ociVersion"], version))).toEqual([]);
});

describe("rules between fields", () => {
  const rows: [(string | number)[], unknown, string][] = [
    [["process"], null, "/process: missing"],
    [["process", "args"], [], "/process/args: missing"],
    [["process", "cwd"], "tmp", "/process/cwd: expected an absolute path"],
    [["process", "env"], ["A"], "/process/env/0: expected NAME=value"],
    [
      ["process", "rlimits", 0, "type"],
      "RLIMIT_MOON",
      "/process/rlimits/0/type: expected one of RLIMIT_CPU, ",
    ],
    [["process", "rlimits", 0, "soft"], 2000, "/process/rlimits/0/soft: 2000 is above the hard limit 1024"],
    [["root"], null, "/root: missing"],
    [["linux", "namespaces"], [{ type: "mount" }, { type: "mount" }], "/linux/namespaces/1/type: the mount"],
    [
      ["linux", "namespaces"],
      [{ type: "moon" }, { type: "mount" }],
      "/linux/namespaces/0/type: expected one of mount, cgroup, ",
    ],
    [["linux", "namespaces"], [{ type: "mount" }], "/hostname: needs a uts namespace"],
    [["linux", "uidMappings"], [{ containerID: 0, hostID: 0, size: 1 }], "/linux/uidMappings: needs a user"],
    [["linux", "rootfsPropagation"], "moon", "/linux/rootfsPropagation: expected one of private, rprivate, "],
    [["linux", "maskedPaths"], ["proc"], "/linux/maskedPaths/0: expected an absolute path"],
    [["linux", "devices"], [{ path: "/dev/x", type: "c" }], "/linux/devices/0/major: missing"],
    [["linux", "devices"], [{ path: "/dev/x", type: "z", major: 1, minor: 1 }], "/linux/devices/0/type"],
    [["linux", "resources", "devices"], [{ allow: true, access: "x" }], "/linux/resources/devices/0/access"],
    [["linux", "sysctl"], { "kernel.panic": "1" }, "/linux/sysctl/kernel.panic: is the whole host's"],
    [
      ["linux", "sysctl"],
      { "kernel/../vm.x": "1" },
      "/linux/sysctl/kernel~1..~1vm.x: is no kernel parameter",
    ],
    [["linux", "sysctl"], { "net/./x": "1" }, "/linux/sysctl/net~1.~1x: is no kernel parameter"],
    [["hooks"], { prestart: [{ path: "sh" }] }, "/hooks/prestart/0/path: expected an absolute path"],
    [["hooks"], { poststop: [{ path: "/x", timeout: 0 }] }, "/hooks/poststop/0/timeout: expected"],
  ];
  for (const [keys, value, text] of rows) {
    test(`${pointer(keys)} = ${JSON.stringify(value)}`, () => {
      expect(problems(withValue(keys, value)).join("\n")).toContain(text);
    });
  }

  test("all problems are told at once", () => {
    const config = withValue(["process", "args"], []);
    (config.process as Json).cwd = "x";
    expect(problems(config).length).toBe(2);
  });
});

test("whatever is wrong, the error names a field", () => {
  const paths: (string | number)[][] = [];
  const walk = (value: unknown, keys: (string | number)[]): void => {
    if (keys.length > 0) paths.push(keys);
    if (Array.isArray(value)) for (const [index, each] of value.entries()) walk(each, [...keys, index]);
    else if (value !== null && typeof value === "object") {
      for (const [key, each] of Object.entries(value)) walk(each, [...keys, key]);
    }
  };
  walk(base(), []);
  fc.assert(
    fc.property(fc.constantFrom(...paths), fc.jsonValue(), (keys, value) => {
      const source = JSON.stringify(withValue(keys, value));
      let config: Config;
      try {
        config = parseConfig(source, "config.json");
      } catch (error) {
        expect(error).toBeInstanceOf(HakoError);
        expect((error as HakoError).oneLine).toMatch(/^config\.json: \//);
        return;
      }
      for (const problem of semanticProblems(config)) expect(problem.pointer).toMatch(/^\//);
    }),
    { numRuns: 1000 },
  );
});

describe("where a text stops being JSON", () => {
  const rows: [string, string][] = [
    ["", "line 1, column 1: expected a value, the text ends"],
    ["{", "line 1, column 2: expected a field's name, the text ends"],
    ['{\n  "a": 1,\n}', 'line 3, column 1: expected a field\'s name, found "}"'],
    ['{"a" 1}', 'line 1, column 6: expected ":", found "1"'],
    ["[1 2]", 'line 1, column 4: expected "," or "]", found "2"'],
    ["[1, x]", 'line 1, column 5: expected a value, found "x"'],
    ["1 1", 'line 1, column 3: expected the end of the document, found "1"'],
    ["[".repeat(50000), "line 1, column 50001: expected a value, the text ends"],
  ];
  for (const [text, where] of rows) {
    test(JSON.stringify(text.slice(0, 20)), () => {
      expect(() => parseJson(text, "f")).toThrow(`f: not JSON: ${where}`);
    });
  }
});

describe("a document that is nested without end is refused by its field", () => {
  const nested = (deep: number) => `${'[{"a":'.repeat(deep / 2)}1${"}]".repeat(deep / 2)}`;
  const readers: [name: string, read: (text: string) => unknown][] = [
    ["config.json", (text) => readConfig(`{"annotations": ${text}}`, "f")],
    ["a process", (text) => parseProcess(`{"annotations": ${text}}`, "f")],
    ["resources", (text) => parseResources(`{"annotations": ${text}}`, "f")],
    ["an image's document", (text) => parseJson(`{"annotations": ${text}}`, "f")],
  ];
  test.each(readers)("%s", (_, read) => {
    expect(() => read(nested(100_000))).toThrow("f: /annotations/0/a: nested more than 1000 deep");
    expect(() => read(nested(990))).not.toThrow("nested");
  });
  test("one with as many brackets beside each other is none", () => {
    expect(parseJson(`[${"[],".repeat(5000)}{}]`, "f")).toBeArrayOfSize(5001);
  });
});
