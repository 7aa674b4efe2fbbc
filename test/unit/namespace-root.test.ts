// The root directory of another process's mount namespace, wherever the process itself is.
import { afterAll, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { namespaceRoot } from "../../src/linux/namespace-root";
import { statusOf } from "../../src/linux/stat";

const busybox = Bun.which("busybox");
const able = process.getuid?.() === 0 && busybox !== null && Bun.which("unshare") !== null;
const dir = mkdtempSync(join(tmpdir(), "hako-root-"));
// by its names, not by paths that grow with each
afterAll(() => void Bun.spawnSync(["rm", "-r", dir]));

/** The inode of the root that is found for a process which has gone so many directories down and changed its root to there. */
async function foundFrom(levels: number, ...before: string[]): Promise<{ found: bigint; own: bigint }> {
  const home = mkdtempSync(join(dir, "jail-"));
  copyFileSync(busybox ?? "", join(home, "busybox"));
  const down = "d/".repeat(levels);
  const line = `${levels === 0 ? "" : `mkdir -p ${down}; mv busybox ${down}; cd ${down}; `}exec "$0" chroot . /busybox sleep 600`;
  const shell = [busybox ?? "", "sh", "-c", line, busybox ?? ""];
  const child = Bun.spawn([...before, ...shell], { cwd: home, stdio: ["ignore", "ignore", "inherit"] });
  try {
    while (!readFileSync(`/proc/${child.pid}/cmdline`, "utf8").startsWith("/busybox\0sleep"))
      await Bun.sleep(5);
    using root = namespaceRoot(child.pid);
    return { found: statusOf(root).inode, own: statSync(`/proc/${child.pid}/root`, { bigint: true }).ino };
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
}

test.skipIf(!able)("in a mount namespace of its own it is above the process's", async () => {
  const root = statSync("/", { bigint: true }).ino;
  for (const levels of [0, 3, 1100]) {
    const { found, own } = await foundFrom(levels, "unshare", "--mount");
    expect([levels, found, own === root]).toEqual([levels, root, false]);
  }
});

test.skipIf(!able)("in ours it is the process's own", async () => {
  const { found, own } = await foundFrom(2);
  expect(found).toBe(own);
});
