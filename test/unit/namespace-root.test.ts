// The root directory of another process's mount namespace, wherever the process itself is.
import { afterAll, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileStatusOf } from "../../src/linux/file/stat";
import { openPid } from "../../src/linux/process/process";
import { namespaceRoot } from "../../src/linux/remote/namespace-root";

const busybox = Bun.which("busybox");
const able = process.getuid?.() === 0 && busybox !== null && Bun.which("unshare") !== null;
const dir = mkdtempSync(join(tmpdir(), "hako-root-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** The inode of the root that is found for a process which a line of shell has changed the root of to where it has gone. */
async function foundAfter(
  line: string,
  before: string[] = [],
  then: (home: string) => void = () => undefined,
) {
  const home = mkdtempSync(join(dir, "jail-"));
  copyFileSync(busybox ?? "", join(home, "busybox"));
  const script = `${line}; exec "$0" chroot . /busybox sleep 600`;
  const shell = [busybox ?? "", "sh", "-c", script, busybox ?? ""];
  const child = Bun.spawn([...before, ...shell], { cwd: home, stdio: ["ignore", "ignore", "inherit"] });
  try {
    while (!readFileSync(`/proc/${child.pid}/cmdline`, "utf8").startsWith("/busybox\0sleep"))
      await Bun.sleep(5);
    then(home);
    using pidfd = openPid(child.pid);
    if (pidfd === undefined) throw new Error("it has ended");
    using root = namespaceRoot(child.pid, pidfd);
    return {
      found: fileStatusOf(root).inode,
      own: statSync(`/proc/${child.pid}/root`, { bigint: true }).ino,
    };
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
}

const OWN_NAMESPACE = ["unshare", "--mount"];
const HOST = statSync("/", { bigint: true }).ino;

test.skipIf(!able)("in a mount namespace of its own it is above the process's", async () => {
  for (const line of ["true", "mkdir -p a/b/c; mv busybox a/b/c; cd a/b/c"]) {
    const { found, own } = await foundAfter(line, OWN_NAMESPACE);
    expect([line, found, own === HOST]).toEqual([line, HOST, false]);
  }
});

test.skipIf(!able)("also where no way leads up from there", async () => {
  const line = "mkdir -p a/sub/x b; mount --bind a/sub b; mv busybox a/sub/x; cd b/x";
  const move = (home: string) => renameSync(join(home, "a/sub/x"), join(home, "a/x"));
  const { found, own } = await foundAfter(line, OWN_NAMESPACE, move);
  expect([found, own === HOST]).toEqual([HOST, false]);
});

test.skipIf(!able)("also in a user namespace", async () => {
  const { found } = await foundAfter("true", ["unshare", "--user", "--map-root-user", "--mount"]);
  expect(found).toBe(HOST);
});

test.skipIf(!able)("in ours it is the process's own", async () => {
  const { found, own } = await foundAfter("true");
  expect(found).toBe(own);
});

test("of a process that has ended there is none", () => {
  using pidfd = openPid(process.pid);
  if (pidfd === undefined) throw new Error("there is no pidfd");
  expect(() => namespaceRoot(2 ** 22 + 1, pidfd)).toThrow("no such file or directory");
});
