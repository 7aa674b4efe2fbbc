// Small pages of memory for a while.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { SmallPages } from "../../src/linux/process/small-pages";

/** Whether the kernel may give this process huge pages (proc_pid_status(5), Linux 5.0). */
function mayBeHuge(): boolean {
  return /^THP_enabled:\s+1$/m.test(readFileSync("/proc/self/status", "utf8"));
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
