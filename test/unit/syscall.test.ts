import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { bytesOf } from "../../src/linux/call/bytes";
import { syscall, syscallOn, trySyscall } from "../../src/linux/call/syscall";

const AT_FDCWD = -100;
const O_WRONLY_CREATE = 0o101;
const directory = mkdtempSync(`${tmpdir()}/hako-syscall-`);
afterAll(() => rmSync(directory, { recursive: true }));

function made(path: string): boolean {
  const fd = trySyscall("openat", AT_FDCWD, path, O_WRONLY_CREATE, 0o600);
  if (fd >= 0) syscall("close", fd);
  return fd >= 0;
}

describe("system calls", () => {
  test("several texts in one call keep apart", () => {
    writeFileSync(`${directory}/old`, "text");
    expect(trySyscall("renameat2", AT_FDCWD, `${directory}/old`, AT_FDCWD, `${directory}/new`, 0)).toBe(0);
    expect(readFileSync(`${directory}/new`, "utf8")).toBe("text");
    // a shorter one where a longer one was
    expect(trySyscall("symlinkat", "a", AT_FDCWD, `${directory}/l`)).toBe(0);
    expect(trySyscall("symlinkat", "", AT_FDCWD, `${directory}/m`)).toBe(-2);
  });

  test("texts of any length and of any bytes", () => {
    const deep = `${directory}/${"x/../".repeat(700)}deep`;
    syscallOn(directory, "mkdirat", AT_FDCWD, `${directory}/x`, 0o700);
    expect(deep.length).toBeGreaterThan(3500);
    expect(made(deep)).toBe(true);
    expect(existsSync(`${directory}/deep`)).toBe(true);
    // 1,365 units of UTF-16 become 4,095 bytes: the longest that has a place ready, and one more
    for (const length of [1365, 1366, 2000]) {
      const text = "\u2026".repeat(length);
      const size = bytesOf(text).length;
      const bytes = new Uint8Array(size + 1);
      const pair = new Int32Array(2);
      syscall("pipe2", pair, 0);
      expect(trySyscall("write", pair[1] ?? -1, text, size + 1)).toBe(size + 1);
      expect(trySyscall("read", pair[0] ?? -1, bytes, size + 1)).toBe(size + 1);
      expect(bytes).toEqual(bytesOf(`${text}\0`));
      for (const fd of pair) syscall("close", fd);
    }
    expect(made(`${directory}/latin\udce4`)).toBe(true);
    expect(readFileSync(Buffer.from(`${directory}/latin\xe4`, "latin1"), "utf8")).toBe("");
    expect(() => made(`${directory}/a\0b`)).toThrow("a string with a NUL byte");
  });

  test("each error is told, EPERM too", () => {
    expect(trySyscall("openat", AT_FDCWD, `${directory}/none`, 0, 0)).toBe(-2);
    // EPERM is the number that libc returns for all
    expect(trySyscall("unlinkat", AT_FDCWD, "/proc/self/status", 0)).toBe(-1);
    expect(trySyscall("close", -1)).toBe(-9);
  });
});
