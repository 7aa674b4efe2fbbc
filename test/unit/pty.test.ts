import { describe, expect, test } from "bun:test";
import { closeSync, existsSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { textOf } from "../../src/linux/call/bytes";
import { readWaiting, writeAllWaiting } from "../../src/linux/file/stream";
import {
  getTermios,
  getWindowSize,
  isTerminal,
  openPty,
  rawTermios,
  setOnlcr,
  setTermios,
  setWindowSize,
} from "../../src/linux/terminal/pty";

const lacking = existsSync("/dev/ptmx") ? undefined : "no /dev/ptmx";
if (lacking !== undefined) console.log(`skipped: pseudoterminals: ${lacking}`);

describe.skipIf(lacking !== undefined)("pseudoterminals", () => {
  test("both ends work", () => {
    const { master, slave, path } = openPty();
    using m = master;
    using s = slave;
    expect(path).toMatch(/^\/dev\/pts\/\d+$/);
    expect(isTerminal(m)).toBe(true);
    setTermios(s, rawTermios(getTermios(s)));
    writeAllWaiting(s, "hello");
    expect(textOf(readWaiting(m))).toBe("hello");
    writeAllWaiting(m, "back");
    expect(textOf(readWaiting(s))).toBe("back");
  });

  test("newlines get a carriage return, or not", () => {
    const { master, slave } = openPty();
    using m = master;
    using s = slave;
    writeAllWaiting(s, "a\n");
    expect(textOf(readWaiting(m))).toBe("a\r\n");
    setOnlcr(m, false);
    writeAllWaiting(s, "b\n");
    expect(textOf(readWaiting(m))).toBe("b\n");
    setOnlcr(m, true);
    writeAllWaiting(s, "c\n");
    expect(textOf(readWaiting(m))).toBe("c\r\n");
  });

  test("the size", () => {
    const { master, slave } = openPty();
    using m = master;
    using s = slave;
    setWindowSize(m, { width: 99, height: 33 });
    expect(getWindowSize(s)).toEqual({ width: 99, height: 33 });
  });

  test("what is no multiplexer is refused", () => {
    expect(() => openPty(join(tmpdir(), "hako-no-such-ptmx"))).toThrow("no such file or directory");
    const file = join(tmpdir(), `hako-ptmx-${process.pid}`);
    writeFileSync(file, "");
    expect(() => openPty(file)).toThrow("not the character device 5:2 (ptmx)");
    rmSync(file);
    expect(() => openPty("/dev/null")).toThrow("not the character device 5:2 (ptmx)");
  });

  test("a file is no terminal", () => {
    const fd = openSync("/dev/null", "r");
    expect(isTerminal(fd)).toBe(false);
    closeSync(fd);
  });
});
