// Containers without a mount namespace: their mounts are the host's, on their root file system, and go with them.
import { expect } from "bun:test";
import { readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { Box, type BundleConfig, e2e, execute, expectUnchanged, hostSnapshot } from "./support";

const withoutNamespace = (config: BundleConfig) => {
  config.linux.namespaces = config.linux.namespaces.filter(
    ({ type }) => type !== "mount" && type !== "cgroup",
  );
  config.mounts = config.mounts.filter(({ type }) => type !== "cgroup");
};

e2e("it runs in its rootfs, with its mounts, and leaves none", async () => {
  using box = new Box();
  const before = hostSnapshot(box.root);
  const line =
    "ls / | head -1; readlink /proc/self/ns/mnt; echo x > /dev/null; touch /dev/shm/x; ls /proc/1/root/bin | head -1";
  const [first, namespace] = box.sh(line, withoutNamespace).split("\n");
  expect([first, namespace]).toEqual(["bin", readlinkSync("/proc/self/ns/mnt")]);
  await expectUnchanged(before, box.root);
});

e2e("exec is in its rootfs too; delete --force takes the mounts away", async () => {
  using box = new Box();
  const before = hostSnapshot(box.root);
  const id = box.id();
  const bundle = box.bundle(["sleep", "600"], withoutNamespace);
  box.ok("create", "--bundle", bundle, id);
  box.ok("start", id);
  expect(readFileSync("/proc/self/mountinfo", "utf8")).toContain(` ${join(bundle, "rootfs")}/proc `);
  expect(
    box.ok("exec", id, "sh", "-c", "ls -d /bundle* /work 2>/dev/null; cat /etc/group | head -1").stdout,
  ).toBe("root:x:0:\n");
  box.ok("delete", "--force", id);
  await expectUnchanged(before, box.root);
});

e2e("what fails leaves nothing, and what was mounted there before stays", async () => {
  using box = new Box();
  const bundle = box.bundle(["/no/such"], withoutNamespace);
  const rootfs = join(bundle, "rootfs");
  execute("mount", ["--bind", rootfs, rootfs]);
  try {
    const before = hostSnapshot(box.root);
    expect(box.hako("run", "--bundle", bundle, box.id()).status).toBe(1);
    await expectUnchanged(before, box.root);
    expect(execute("mountpoint", ["-q", rootfs]).status).toBe(0);
  } finally {
    execute("umount", [rootfs]);
  }
});
