import { describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { containerId } from "../../src/oci/id";
import { lockContainer } from "../../src/state/lock";
import { claimId, unclaimId } from "../../src/state/root";

const ID = containerId("box");

function withRoot(body: (root: string, dir: string) => void): void {
  const root = mkdtempSync("/tmp/hako-unit-");
  try {
    body(root, join(root, ID));
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** Whether a process has opened a path. */
function holdsOpen(pid: number, path: string): boolean {
  return readdirSync(`/proc/${pid}/fd`).some((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`) === path;
    } catch {
      return false; // it was closed meanwhile
    }
  });
}

describe("the lock of a container", () => {
  test("is held once, and is free again after its end", () => {
    withRoot((root) => {
      claimId(root, ID);
      {
        using lock = lockContainer(root, ID);
        expect(lock).toBeDefined();
        expect(() => lockContainer(root, ID, 10)).toThrow("is busy");
      }
      using again = lockContainer(root, ID, 10);
      expect(again).toBeDefined();
    });
  });

  test("of nothing is none", () => {
    withRoot((root) => expect(lockContainer(root, ID)).toBe(undefined));
  });

  test("on a directory that was made anew while we waited is none", async () => {
    const root = mkdtempSync("/tmp/hako-unit-");
    claimId(root, ID);
    const dir = join(root, ID);
    const program = `
      import { lockContainer } from ${JSON.stringify(join(import.meta.dir, "../../src/state/lock"))};
      console.log("waits");
      console.log(lockContainer(${JSON.stringify(root)}, "box") === undefined ? "none" : "held");
    `;
    const held = lockContainer(root, ID);
    const child = Bun.spawn([process.execPath, "-e", program], { stdout: "pipe" });
    const reader = child.stdout.getReader();
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toContain("waits");
    while (!holdsOpen(child.pid, dir)) await Bun.sleep(5);
    rmSync(dir, { recursive: true });
    mkdirSync(dir);
    held?.close();
    expect(
      Buffer.from((await reader.read()).value ?? [])
        .toString()
        .trim(),
    ).toBe("none");
    rmSync(root, { recursive: true });
  });
});

describe("an id that is given back", () => {
  test("is free, unless somebody has made something there", () => {
    withRoot((root, dir) => {
      claimId(root, ID);
      unclaimId(root, ID);
      expect(existsSync(dir)).toBe(false);
      unclaimId(root, ID);
      claimId(root, ID);
      writeFileSync(join(dir, "state.json"), "");
      unclaimId(root, ID);
      expect(existsSync(dir)).toBe(true);
    });
  });
});
