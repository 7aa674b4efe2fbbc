// What the build does to the executable, done to Bun's own.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { EXECUTABLE, functionPointer, PT_LOAD, parse } from "../../scripts/elf";
import { alignedForHugePages, askingForMemory, preferringHugePages } from "../../scripts/page-faults";
import { HEAP_SIZE, heapUse, joined, TOUCHED_PAGES, usedHeap, usedMemory } from "../../scripts/used-memory";

const READ = 22;
const WRITE = 23;
const page = (number: number, count: number, advice: number) => ({
  start: number * 4096,
  end: (number + count) * 4096,
  advice,
});

describe("ranges of memory", () => {
  test("are joined where they meet or nearly meet, and what is written is not only read", () => {
    expect(
      joined([[page(16, 16, READ)], [page(40, 8, READ), page(100, 1, WRITE)], [page(100, 1, READ)]]),
    ).toEqual([page(16, 32, READ), page(100, 1, WRITE)]);
    expect(joined([[page(1, 1, WRITE), page(3, 1, WRITE)]])).toHaveLength(2);
  });
});

describe("of the heap", () => {
  const pages = (start: number, count: number) => Array.from({ length: count }, (_, index) => start + index);

  test("is known what all starts use: huge pages with many of their pages, a row of pages in no such one, the last huge page", () => {
    const rare = pages(512 * 9, 100);
    const one = new Set([
      ...pages(512 * 2 + 40, 50),
      ...pages(512 * 3, 49),
      ...pages(512 * 8 + 256, TOUCHED_PAGES - 1),
      ...rare,
    ]);
    const other = new Set([...pages(512 * 2 + 80, 400), ...pages(512 * 3, 64), ...pages(512 * 8, 512)]);
    expect(heapUse([one, other])).toEqual({
      touched: 3 * 0x200000,
      hugePages: [2 * 0x200000],
      rest: 8 * 0x200000,
    });
    // where no other row is left: one with some of them, or one that nobody uses, and no row of what is behind a start's pages
    for (const page of pages(512 * 3 + 5, 512)) one.delete(page);
    const hugePages = [2 * 0x200000];
    expect(heapUse([one, other])).toMatchObject({ touched: 3 * 0x200000, hugePages });
    for (const page of pages(512 * 3, 512)) one.delete(page);
    const last = HEAP_SIZE - TOUCHED_PAGES * 4096;
    expect(heapUse([one, other])).toEqual({ touched: last, hugePages, rest: 8 * 0x200000 });
    for (const page of pages(512 * 8, 512)) one.delete(page);
    expect(heapUse([one, other])).toEqual({ touched: last, hugePages, rest: 2 * 0x200000 });
    expect(() => heapUse([one, new Set()])).toThrow("starts use no page of the heap in common");
  });

  test("a process of Bun's has touched some pages, and no page of a process without one", () => {
    const own = usedHeap(process.pid);
    expect(own.size).toBeGreaterThan(100);
    expect(Math.max(...own)).toBeLessThan(512 * 512);
    expect(() => usedHeap(1)).toThrow();
  });
});

/** Whether the kernel has some free blocks of memory as large as huge pages (proc(5), /proc/buddyinfo): it may be all in pieces. */
function isMemoryWhole(): boolean {
  const blocks = readFileSync("/proc/buddyinfo", "utf8")
    .split("\n")
    .flatMap((line) => line.trim().split(/\s+/).slice(13));
  const free = blocks.reduce((sum, count) => sum + Number(count), 0);
  if (free < 8) console.log("skipped: huge pages of a heap: the memory of this machine is in small pieces");
  return free >= 8;
}

describe.skipIf(process.arch !== "x64")("an executable", () => {
  let directory: string;
  const bun = readFileSync(process.execPath);
  const heapOf = heapUse([usedHeap(process.pid)]);
  const setting = "/sys/kernel/mm/transparent_hugepage/enabled";
  const mode = existsSync(setting) ? readFileSync(setting, "utf8") : "[never]";
  const [always, hugePages] = [mode.includes("[always]"), !mode.includes("[never]")];
  const run = (bytes: Buffer, env = {}, program = "console.log(6 * 7)") => {
    const file = `${directory}/bun`;
    writeFileSync(file, bytes, { mode: 0o755 });
    const words = ["-e", program, "once"];
    const { status, stdout } = spawnSync(file, words, { encoding: "utf8", env: { ...process.env, ...env } });
    rmSync(file);
    return { status, stdout };
  };
  beforeAll(() => {
    directory = mkdtempSync(`${tmpdir()}/hako-unit-`);
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  test("that asks for its memory runs as before, also when the kernel refuses", () => {
    const own = usedMemory(process.execPath, process.pid);
    expect(own.length).toBeGreaterThan(10);
    for (const ranges of [own, [], [page(1, 1, READ), ...own.map((range) => ({ ...range, advice: 99 }))]]) {
      for (const slow of [0, 0x7fffffff]) {
        const changed = askingForMemory(bun, ranges, heapOf, { slow });
        expect(run(changed)).toEqual({ status: 0, stdout: "42\n" });
      }
    }
  });

  test("whose code is aligned for huge pages runs as before, and nothing is lost of it", () => {
    const aligned = alignedForHugePages(bun);
    const { segments } = parse(aligned);
    const code = segments.find(({ type, flags }) => type === PT_LOAD && (flags & EXECUTABLE) !== 0);
    expect(((code?.address ?? 1) - (code?.offset ?? 0)) % 0x200000).toBe(0);
    const at = code?.offset ?? 0;
    const added = aligned.length - bun.length;
    expect(aligned.subarray(at, at + 65536).equals(bun.subarray(at - added, at - added + 65536))).toBe(true);
    expect(run(aligned)).toEqual({ status: 0, stdout: "42\n" });
    expect(alignedForHugePages(aligned).equals(aligned)).toBe(true);
    const all = askingForMemory(alignedForHugePages(preferringHugePages(bun)), [], heapOf);
    for (const env of [{}, { LD_BIND_NOW: "1" }, { MIMALLOC_ALLOW_THP: "0" }, { MIMALLOC_ALLOW_THP: "1" }])
      expect(run(all, env)).toEqual({ status: 0, stdout: "42\n" });
  });

  test("reads its code ahead where a page of it takes long, and only there", () => {
    const { segments } = parse(bun);
    const code = segments.find(({ type, flags }) => type === PT_LOAD && (flags & EXECUTABLE) !== 0);
    const ranges = [page(Math.ceil((code?.address ?? 0) / 4096), 4000, READ)];
    // both ends of a range that a start uses little of
    const program = `console.log(require("fs").readFileSync("/proc/self/smaps", "utf8"))`;
    const mapped = (slow: number) => {
      const { stdout } = run(askingForMemory(bun, ranges, heapOf, { slow }), {}, program);
      return Number(/ r-xp .*\/bun\n(?:.*\n)*?Rss: *(\d+)/.exec(stdout)?.[1]);
    };
    expect(mapped(0)).toBeGreaterThan(mapped(0x7fffffff) + 4000);
  });

  test("has a heap of huge pages where small ones are slow, and only there", () => {
    const prefers = preferringHugePages(bun);
    const heap = (fast: number, env = {}) => {
      const program = `console.log(require("fs").readFileSync("/proc/self/smaps_rollup", "utf8"))`;
      const { status, stdout } = run(askingForMemory(prefers, [], heapOf, { fast }), env, program);
      return { status, huge: Number(/^AnonHugePages: *(\d+)/m.exec(stdout)?.[1]) };
    };
    expect(heap(0x7fffffff)).toEqual({ status: 0, huge: always ? expect.any(Number) : 0 });
    const { status, huge } = heap(0);
    expect(status).toBe(0);
    if (hugePages && isMemoryWhole()) expect(huge).toBeGreaterThanOrEqual(2048);
    expect(heap(0, { MIMALLOC_ALLOW_THP: "0" })).toEqual({ status: 0, huge: 0 });
  });

  test("calls functions of libc through pointers, each of its own", () => {
    const [one, other] = [functionPointer(bun, "madvise"), functionPointer(bun, "mmap")];
    expect(one.pointer).not.toBe(other.pointer);
    expect(one.lookUp).not.toBe(other.lookUp);
    expect(() => functionPointer(bun, "madvise2")).toThrow("doesn't call madvise2");
  });

  test("that prefers huge pages differs in one value", () => {
    const changed = preferringHugePages(bun);
    let differing = 0;
    for (let at = 0; at < bun.length; at++) differing += Number(changed[at] !== bun[at]);
    expect(differing).toBe(1);
    expect(preferringHugePages(changed).equals(changed)).toBe(true);
    expect(run(changed)).toEqual({ status: 0, stdout: "42\n" });
  });

  test("without mimalloc's table of options can't be told to", () => {
    const without = Buffer.from(bun);
    without.fill(0, without.indexOf("\0allow_thp\0"), without.indexOf("\0allow_thp\0") + 11);
    expect(() => preferringHugePages(without)).toThrow("allow_thp is not in the executable");
  });
});
