import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Seccomp } from "../../src/oci/config";
import { compile } from "../../src/seccomp/compile";
import { defaultProfile } from "../../src/seccomp/default-profile";
import { bytesOfFilter, filterOfBytes } from "../../src/seccomp/filter-bytes";
import { isProgram } from "../../src/seccomp/instructions";
import { FilterCache, keyOf } from "../../src/state/filter-cache";

const COMPILER = ["1.0", "a commit", "a hash"];
const PROFILE: Seccomp = {
  defaultAction: "SCMP_ACT_ERRNO",
  defaultErrnoRet: 38,
  architectures: ["SCMP_ARCH_X86_64"],
  flags: ["SECCOMP_FILTER_FLAG_LOG"],
  syscalls: [
    {
      names: ["read", "socket"],
      action: "SCMP_ACT_ALLOW",
      args: [{ index: 0, value: 2 ** 53, valueTwo: 0, op: "SCMP_CMP_EQ" }],
    },
  ],
};
const FILTER = compile(PROFILE);
const MADE = { filter: FILTER, warnings: ["config /linux/seccomp/syscalls/0/names/1: something"] };
const KEY = keyOf(PROFILE, true, COMPILER);
const isRoot = process.getuid?.() === 0;

let top = "";
let cache: FilterCache;
const entry = () => join(cache.directory, KEY);

beforeEach(() => {
  top = mkdtempSync("/tmp/hako-test-filters-");
  cache = new FilterCache(join(top, "cache"));
});
afterEach(() => rmSync(top, { recursive: true, force: true }));

describe("what was compiled", () => {
  test("is found as it was kept, with its warnings", () => {
    expect(cache.find(KEY)).toBeUndefined();
    cache.keep(KEY, MADE);
    expect(cache.find(KEY)).toEqual(MADE);
    expect(lstatSync(cache.directory).mode & 0o7777).toBe(0o700);
    expect(lstatSync(entry()).mode & 0o7777).toBe(0o600);
    expect(readdirSync(cache.directory)).toEqual([KEY]);
    cache.keep(KEY, MADE);
    expect(readdirSync(cache.directory)).toEqual([KEY]);
  });

  test("of a large profile too", () => {
    const filter = compile(defaultProfile(["CAP_SYS_ADMIN"]));
    cache.keep(KEY, { filter, warnings: [] });
    expect(cache.find(KEY)).toEqual({ filter, warnings: [] });
  });

  test("is another's where anything that decides it is another", () => {
    const [row] = PROFILE.syscalls ?? [];
    if (row === undefined) throw new Error("no row");
    const rows = (change: object) => ({ syscalls: [{ ...row, ...change }] });
    const [argument] = row.args ?? [];
    const args = (change: object) => rows({ args: [{ ...argument, ...change }] });
    const changes: object[] = [
      { defaultAction: "SCMP_ACT_KILL" },
      { defaultErrnoRet: 1 },
      { defaultErrnoRet: undefined },
      { architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"] },
      { flags: [] },
      { syscalls: [] },
      rows({ names: ["read"] }),
      rows({ names: ["socket", "read"] }),
      rows({ action: "SCMP_ACT_LOG" }),
      rows({ errnoRet: 1 }),
      args({ index: 1 }),
      args({ value: 2n ** 53n + 1n }),
      args({ valueTwo: 1 }),
      args({ op: "SCMP_CMP_NE" }),
    ];
    const keys = changes.map((change) => keyOf({ ...PROFILE, ...change } as Seccomp, true, COMPILER));
    const others = [
      KEY,
      keyOf(PROFILE, false, COMPILER),
      keyOf(PROFILE, true, ["1.1", "a commit", "a hash"]),
      keyOf(PROFILE, true, ["1.0", "another", "a hash"]),
      keyOf(PROFILE, true, ["1.0", "a commit", "another"]),
    ];
    expect(new Set([...keys, ...others]).size).toBe(keys.length + others.length);
  });

  test("is the same whoever listens", () => {
    const profile = { ...PROFILE, listenerPath: "/run/agent", listenerMetadata: "of a container" };
    expect(keyOf(profile, true, COMPILER)).toBe(KEY);
  });
});

describe("what is not as it was written is compiled anew", () => {
  test("any byte of it", () => {
    cache.keep(KEY, MADE);
    const right = readFileSync(entry());
    for (let at = 0; at < right.length; at++) {
      const wrong = Buffer.from(right);
      wrong[at] = (wrong[at] ?? 0) ^ 0x10;
      writeFileSync(entry(), wrong);
      expect([at, cache.find(KEY)]).toEqual([at, undefined]);
    }
    writeFileSync(entry(), right);
    expect(cache.find(KEY)).toEqual(MADE);
  });

  test("cut off anywhere, or with more behind it", () => {
    cache.keep(KEY, MADE);
    const { length } = readFileSync(entry());
    writeFileSync(entry(), "x", { flag: "a" });
    expect(cache.find(KEY)).toBeUndefined();
    for (let left = length - 1; left >= 0; left--) {
      truncateSync(entry(), left);
      expect([left, cache.find(KEY)]).toEqual([left, undefined]);
    }
    cache.keep(KEY, MADE);
    expect(cache.find(KEY)).toEqual(MADE);
  });

  test("another profile's under its name", () => {
    const other = keyOf(PROFILE, false, COMPILER);
    cache.keep(other, MADE);
    renameSync(join(cache.directory, other), entry());
    expect(cache.find(KEY)).toBeUndefined();
  });

  test("a file without an end", () => {
    cache.keep(KEY, MADE);
    truncateSync(entry(), 2 ** 40);
    expect(cache.find(KEY)).toBeUndefined();
  });
});

describe("nothing of another's is believed or written to", () => {
  test("a link in place of an entry, or of the directory", () => {
    cache.keep(KEY, MADE);
    renameSync(entry(), join(top, "moved"));
    symlinkSync(join(top, "moved"), entry());
    expect(cache.find(KEY)).toBeUndefined();
    // it is replaced, not followed
    const before = readFileSync(join(top, "moved"));
    cache.keep(KEY, { ...MADE, warnings: [] });
    expect(readFileSync(join(top, "moved"))).toEqual(before);
    expect(cache.find(KEY)?.warnings).toEqual([]);
    renameSync(cache.directory, join(top, "elsewhere"));
    symlinkSync(join(top, "elsewhere"), cache.directory);
    expect(cache.find(KEY)).toBeUndefined();
    rmSync(join(top, "elsewhere", KEY));
    cache.keep(KEY, MADE);
    expect(readdirSync(join(top, "elsewhere"))).toEqual([]);
  });

  test("a pipe, which nobody waits for", () => {
    mkdirSync(cache.directory, 0o700);
    Bun.spawnSync(["mkfifo", "-m", "600", entry()]);
    expect(cache.find(KEY)).toBeUndefined();
    cache.keep(KEY, MADE);
    expect(cache.find(KEY)).toEqual(MADE);
  });

  for (const mode of [0o770, 0o702, 0o755]) {
    test(`a directory of mode ${mode.toString(8)}`, () => {
      cache.keep(KEY, MADE);
      chmodSync(cache.directory, mode);
      expect(cache.find(KEY)).toBeUndefined();
      rmSync(entry());
      cache.keep(KEY, MADE);
      expect(readdirSync(cache.directory)).toEqual([]);
    });
  }

  test("a file that others may write", () => {
    cache.keep(KEY, MADE);
    chmodSync(entry(), 0o620);
    expect(cache.find(KEY)).toBeUndefined();
  });

  test("a directory above that others may write", () => {
    cache.keep(KEY, MADE);
    chmodSync(top, 0o777);
    expect(cache.find(KEY)).toBeUndefined();
    chmodSync(top, 0o1777);
    expect(cache.find(KEY)).toEqual(MADE);
  });

  test.if(isRoot)("a foreign owner of the directory, of an entry, of the way", () => {
    cache.keep(KEY, MADE);
    for (const path of [cache.directory, entry(), top]) {
      chownSync(path, 12_345, 0);
      expect([path, cache.find(KEY)]).toEqual([path, undefined]);
      chownSync(path, 0, 0);
    }
    expect(cache.find(KEY)).toEqual(MADE);
    chownSync(cache.directory, 12_345, 0);
    rmSync(entry());
    cache.keep(KEY, MADE);
    expect(readdirSync(cache.directory)).toEqual([]);
  });

  test("a file in place of the directory; no directory above", () => {
    writeFileSync(cache.directory, "");
    expect(cache.find(KEY)).toBeUndefined();
    cache.keep(KEY, MADE);
    expect(readFileSync(cache.directory, "utf8")).toBe("");
    const nowhere = new FilterCache(join(top, "no/such/place"));
    nowhere.keep(KEY, MADE);
    expect(nowhere.find(KEY)).toBeUndefined();
    expect(readdirSync(top)).toEqual(["cache"]);
  });
});

describe("the cache is bounded", () => {
  const key = (index: number) => keyOf({ ...PROFILE, defaultErrnoRet: index }, true, COMPILER);

  test("the oldest files go, whatever they are", () => {
    mkdirSync(cache.directory, 0o700);
    writeFileSync(join(cache.directory, `${KEY}.4194305`), "left of a process that was killed");
    utimesSync(join(cache.directory, `${KEY}.4194305`), 1, 1);
    for (let index = 0; index < 63; index++) {
      cache.keep(key(index), MADE);
      utimesSync(join(cache.directory, key(index)), 1000 + index, 1000 + index);
    }
    expect(readdirSync(cache.directory).length).toBe(64);
    for (let index = 63; index < 66; index++) cache.keep(key(index), MADE);
    const names = readdirSync(cache.directory);
    expect(names.length).toBe(64);
    expect(names).not.toContain(`${KEY}.4194305`);
    expect([0, 1, 2, 65].map((index) => names.includes(key(index)))).toEqual([false, false, true, true]);
  });

  test("what is too large is not kept", () => {
    cache.keep(KEY, { ...MADE, warnings: ["x".repeat(70_000)] });
    expect(cache.find(KEY)).toBeUndefined();
  });
});

describe("a program", () => {
  const { program } = FILTER;
  const count = program.length / 8;
  const changed = (index: number, bytes: number[]) => {
    const wrong = program.slice();
    wrong.set(bytes, 8 * index);
    return wrong;
  };

  test("is one that the compiler makes", () => {
    expect(isProgram(program)).toBe(true);
    expect(isProgram(compile(defaultProfile([])).program)).toBe(true);
    expect(filterOfBytes(bytesOfFilter(FILTER))).toEqual(FILTER);
  });

  test("has no other instructions, no jump out of it, no load of what is not there, and an answer at its end", () => {
    const wrong: [string, Uint8Array][] = [
      ["empty", new Uint8Array(0)],
      ["half an instruction", program.slice(0, -4)],
      ["too long", new Uint8Array(8 * 4097)],
      ["a store", changed(0, [0x02, 0])],
      ["no answer", changed(count - 1, [0x20, 0, 0, 0, 0, 0, 0, 0])],
      ["a jump at the end", changed(count - 1, [0x05, 0, 0, 0, 0, 0, 0, 0])],
      ["a far jump", changed(0, [0x05, 0, 0, 0, count - 1, 0, 0, 0])],
      ["a far yes", changed(count - 2, [0x15, 0, 1, 0])],
      ["a far no", changed(count - 2, [0x25, 0, 0, 1])],
      ["an odd place", changed(0, [0x20, 0, 0, 0, 2, 0, 0, 0])],
      ["a place behind the data", changed(0, [0x20, 0, 0, 0, 64, 0, 0, 0])],
    ];
    for (const [what, bytes] of wrong) expect([what, isProgram(bytes)]).toEqual([what, false]);
  });
});
