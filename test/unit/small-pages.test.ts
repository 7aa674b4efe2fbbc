// Small pages of memory for a while.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { rangesWithHugePages, SmallPages, splitHugePages } from "../../src/linux/process/small-pages";

/** Whether the kernel may give this process huge pages (proc_pid_status(5), Linux 5.0). */
function mayBeHuge(): boolean {
  return /^THP_enabled:\s+1$/m.test(readFileSync("/proc/self/status", "utf8"));
}

function hasNoHugePages(): boolean {
  return /^AnonHugePages: +0 kB$/m.test(readFileSync("/proc/self/smaps_rollup", "utf8"));
}

test("memory comes in small pages until it is over, and stays so where it was so before", () => {
  const before = mayBeHuge();
  {
    using _outer = new SmallPages();
    {
      using _inner = new SmallPages();
      expect(mayBeHuge()).toBe(false);
    }
    expect(mayBeHuge()).toBe(false);
  }
  expect(mayBeHuge()).toBe(before);
});

test("mappings that may have huge pages are those that have some, or were to have", () => {
  const smaps = `
00200000-01a39000 r--p 00000000 fe:00 2277386                            /usr/bin/hako
AnonHugePages:         0 kB
4da6c200000-4da6c600000 rw-p 00000000 00:00 0
Rss:                4096 kB
AnonHugePages:      2048 kB
FilePmdMapped:         0 kB
4da6c600000-4da6cc00000 rw-p 00000000 00:00 0
AnonHugePages:         0 kB
VmFlags: rd wr mr mw me ac sd
4da6d000000-4da6d200000 rw-p 00000000 00:00 0
AnonHugePages:         0 kB
VmFlags: rd wr mr mw me ac sd hg
7f3c00000000-7f3d00000000 rw-p 00000000 00:00 0
AnonHugePages:     16384 kB
VmFlags: rd wr mr mw me ac sd hg
`;
  expect(rangesWithHugePages(smaps)).toEqual([
    [0x4da6c200000, 0x4da6c600000],
    [0x4da6d000000, 0x4da6d200000],
    [0x7f3c00000000, 0x7f3d00000000],
  ]);
});

test("no huge page is left, and what was in them is", () => {
  const bytes = new Uint8Array(16 << 20).fill(1, 5 << 20);
  if (hasNoHugePages()) {
    process.stdout.write("skipped: no huge pages here\n");
    return;
  }
  splitHugePages();
  expect(hasNoHugePages()).toBe(true);
  expect([bytes.indexOf(1), bytes.lastIndexOf(0)]).toEqual([5 << 20, (5 << 20) - 1]);
});
