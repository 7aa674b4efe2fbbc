// What making a container asks of the kernel: no file twice, none that can't be read, and of the container's process no word too many.
import { expect } from "bun:test";
import { chmodSync, existsSync, readFileSync } from "node:fs";
import {
  Box,
  type BundleConfig,
  e2e,
  execute,
  HAKO,
  needsHako,
  needsProgram,
  needsUserNamespace,
} from "./support";

const NEEDS = [needsHako, needsProgram("strace")];

/** The system calls of a `create`'s own thread, or of a `run`'s; its children would keep strace waiting. */
function traced(
  box: Box,
  calls: string,
  mutate?: (config: BundleConfig) => void,
  command = "create",
): string[] {
  const file = box.path("trace");
  const id = box.id();
  const create = [HAKO, "--root", box.root, command, "--bundle", box.bundle(["true"], mutate), id];
  const result = execute("strace", [
    "-qq",
    "-e",
    `trace=${calls}`,
    "-e",
    "signal=none",
    "-o",
    file,
    ...create,
  ]);
  expect(result).toMatchObject({ status: 0, stderr: "" });
  box.ok("delete", "--force", id);
  return readFileSync(file, "utf8").trim().split("\n");
}

/** How often the container's process is told something: its range begins with the word that it waits at. */
function words(lines: readonly string[]): number {
  return lines.filter((line) => /^futex\(0x[0-9a-f]+000, FUTEX_WAKE, 1/.test(line)).length;
}

e2e(
  "the container's process is told what to do in few words",
  () => {
    using box = new Box();
    const own = traced(box, "futex");
    expect(words(own)).toBeGreaterThan(5);
    expect(words(own)).toBeLessThanOrEqual(20);
  },
  NEEDS,
);

e2e("in a user namespace, where it makes the mounts, it closes with the next word", () => {
  using box = new Box();
  chmodSync(box.dir, 0o755);
  const own = traced(box, "futex", (config) => {
    config.linux.namespaces.push({ type: "user" });
    const ids = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
    Object.assign(config.linux, { uidMappings: ids, gidMappings: ids });
  });
  expect(words(own)).toBeGreaterThan(20);
  // each of a hundred descriptors that it closes would be one more
  expect(words(own)).toBeLessThanOrEqual(300);
}, [...NEEDS, needsUserNamespace]);

e2e(
  "the program of a run comes without a start socket, unless a startContainer hook comes before it",
  () => {
    using box = new Box();
    const hooked = (config: BundleConfig) =>
      Object.assign(config, { hooks: { startContainer: [{ path: "/bin/true" }] } });
    const sockets = (mutate?: (config: BundleConfig) => void) =>
      traced(box, "bind,connect", mutate, "run").filter((line) => line.includes("start.sock")).length;
    expect(sockets()).toBe(0);
    expect(sockets(hooked)).toBe(2);
  },
  NEEDS,
);

e2e("no file of a cgroup is read that can't be, none is opened twice, and no new cgroup is searched", () => {
  using box = new Box();
  const own = traced(box, "openat,read,getdents64,faccessat2");
  const opened = own.filter((line) => line.startsWith("openat(") && line.includes("/sys/fs/cgroup/"));
  expect(opened.length).toBeGreaterThan(3);
  expect(opened.filter((line, index) => opened.indexOf(line) !== index)).toEqual([]);
  expect(opened.filter((line) => /devices\.(allow|deny)/.test(line) && line.includes("O_RDONLY"))).toEqual(
    [],
  );
  expect(own.filter((line) => /^read\(.*EINVAL/.test(line))).toEqual([]);
  expect(own.filter((line) => line.startsWith("getdents64("))).toEqual([]);
  expect(opened.filter((line) => line.includes("cgroup.procs") && line.includes("O_RDONLY"))).toEqual([]);
  for (const file of ["/proc/self/mountinfo", "/proc/self/uid_map"])
    expect([file, own.filter((line) => line.startsWith(`openat(AT_FDCWD, "${file}"`)).length]).toEqual([
      file,
      1,
    ]);
}, [...NEEDS, existsSync("/sys/fs/cgroup/cgroup.controllers") ? "its cgroups are v2's" : undefined]);

e2e(
  "no place in the root file system is looked up again for each device or masked path",
  () => {
    using box = new Box();
    const own = traced(box, "openat2,statx,mount_setattr,fchmodat,fchownat");
    const lookups = own
      .filter((line) => line.startsWith("openat2("))
      .map((line) => /"([^"]*)"/.exec(line)?.[1]);
    const of = (path: string) => lookups.filter((each) => each === path).length;
    // its mount, whether it is the host's, the devices, the links; and what pts, shm and mqueue are made in
    expect(of("/dev")).toBeLessThanOrEqual(7);
    expect(of("/dev/null")).toBeLessThanOrEqual(1);
    expect(of("/dev/pts")).toBe(1);
    expect(own.filter((line) => line.startsWith("fchmodat(") || line.startsWith("fchownat("))).toEqual([]);
  },
  NEEDS,
);
