// What the build does to the executable, done to Bun's own.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { askingForMemory, joined, preferringHugePages, usedMemory } from "../../scripts/page-faults";

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

describe.skipIf(process.arch !== "x64")("an executable", () => {
  let directory: string;
  const bun = readFileSync(process.execPath);
  const run = (bytes: Buffer) => {
    const file = `${directory}/bun`;
    writeFileSync(file, bytes, { mode: 0o755 });
    const { status, stdout } = spawnSync(file, ["-e", "console.log(6 * 7)", "once"], { encoding: "utf8" });
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
      const changed = askingForMemory(bun, ranges);
      expect(run(changed)).toEqual({ status: 0, stdout: "42\n" });
    }
  });

  test("that prefers huge pages differs in one value", () => {
    const changed = preferringHugePages(bun);
    const differing = changed.reduce((count, byte, at) => count + Number(byte !== bun[at]), 0);
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
