// The namespaces driver with a program in memory in place of the one that config.json names: so another driver makes what stands for a
// container on the host. No command asks for it, so a fixture calls the driver.
import { expect } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { Box, type BundleConfig, e2e, HAKO, needsHako, needsUserNamespace } from "./support";

const FIXTURE = join(import.meta.dir, "fixtures/program-in-memory.ts");

function make(box: Box, id: string, bundle: string) {
  return spawnSync(process.execPath, [FIXTURE, HAKO, box.root, id, bundle], { encoding: "utf8" });
}

const inUserNamespace = ({ linux }: BundleConfig) => {
  const ids = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  linux.namespaces.push({ type: "user" });
  Object.assign(linux, { uidMappings: ids, gidMappings: ids });
};
const filtered = ({ linux }: BundleConfig) => {
  Object.assign(linux, {
    seccomp: {
      defaultAction: "SCMP_ACT_ERRNO",
      syscalls: [{ names: ["execve", "execveat", "read", "write", "exit_group"], action: "SCMP_ACT_ALLOW" }],
    },
  });
};

for (const [how, change, needs] of [
  ["", () => {}, undefined],
  [" in a user namespace", inUserNamespace, needsUserNamespace],
  [" under a filter", filtered, undefined],
] as const) {
  e2e(`a program in memory is executed where the container's would be, with a descriptor more${how}`, () => {
    using box = new Box();
    chmodSync(box.dir, 0o755);
    const id = box.id();
    const bundle = box.bundle(["no-such-program", "in", "there"], change);
    const done = make(box, id, bundle);
    expect(done.stderr).toBe("");
    const { pid, namespaces, inside, descriptors, rootfs, ...seen } = JSON.parse(done.stdout);
    expect(seen).toEqual({
      created: "created",
      early: false,
      said: "ready",
      running: "running",
      executable: "/memfd:stands for a container (deleted)",
      // what config.json names is not looked up, but it is what ps shows
      arguments: ["no-such-program", "in", "there"],
      pids: JSON.stringify([pid]),
      back: "x",
      ending: 7,
      stopped: "stopped",
    });
    expect(rootfs).toEqual(readdirSync(join(bundle, "rootfs")).sort());
    expect(namespaces).not.toContain(readlinkSync("/proc/self/ns/mnt"));
    // the filter lets no exec run anything
    if (change !== filtered) expect(inside).toBe(namespaces.join("\n"));
    // streams, and the one that it was given
    expect(descriptors).toHaveLength(4);
    box.ok("delete", id);
    expect(existsSync(join(box.root, id))).toBe(false);
  }, [needsHako, needs]);
}

e2e("a program in memory does not wait among others of a pid namespace that is joined", () => {
  using box = new Box();
  const first = box.started();
  const joined = `/proc/${box.state(first).pid}/ns/pid`;
  const bundle = box.bundle(["x"], ({ linux }) => {
    linux.namespaces = linux.namespaces.filter(({ type }) => type !== "pid");
    linux.namespaces.push({ type: "pid", path: joined });
  });
  const id = box.id();
  const done = make(box, id, bundle);
  expect(done.stderr).toContain("a program in memory can't be in a pid namespace that is joined");
  expect(box.hako("state", id).stdout).not.toContain("running");
  box.hako("delete", "--force", id);
}, [needsHako]);
