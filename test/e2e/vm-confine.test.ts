// What QEMU of a container can reach on the host, and machines of ordinary users.
import { afterAll, expect } from "bun:test";
import { chmodSync, existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { environment, leftIn, needsMachine, setUp, shared } from "./machines";
import { Home, MAPS, NEEDS_MAPS, SUBORDINATE, USER } from "./rootless-home";
import {
  Box,
  e2e,
  execute,
  HAKO,
  needsBusybox,
  needsProgram,
  type Result,
  TIME_LIMIT,
  until,
} from "./support";

const cache = shared.path("cache");
const env = environment(cache);
const box = new Box();
afterAll(() => box[Symbol.dispose]());

/** Machines boot in seconds. */
const LONG = 6 * TIME_LIMIT;

function hako(...words: string[]): Result {
  return execute(HAKO, ["--root", box.root, ...words], { env, timeout: 2 * TIME_LIMIT });
}

function qemuOf(root: string, sandbox: string): number {
  const file = join(root, "@machines", sandbox, "machine.json");
  return (JSON.parse(readFileSync(file, "utf8")) as { qemu: { pid: number } }).qemu.pid;
}

/** The lines of /proc/PID/status, by their names. */
function statusOf(pid: number): Record<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, "utf8").trim().split("\n");
  return Object.fromEntries(lines.map((line) => line.split(":\t") as [string, string]));
}

function namespacesOf(pid: number | "self"): string[] {
  return ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"].map((type) =>
    readlinkSync(`/proc/${pid}/ns/${type}`),
  );
}

/** What is confined of a QEMU, whoever has started it. */
function checkConfinement(pid: number): void {
  const status = statusOf(pid);
  // QEMU's own filter, and hako's
  expect(status).toMatchObject({ NoNewPrivs: "1", Seccomp: "2", Seccomp_filters: "2" });
  // to read files of any owner among those that it sees: a right of its own user namespace
  expect([status.CapPrm, status.CapEff]).toEqual(["0000000000000004", "0000000000000004"]);
  expect(status.Groups?.trim()).toBe("");
  const own = namespacesOf("self");
  for (const [index, namespace] of namespacesOf(pid).entries()) expect(namespace).not.toBe(own[index] ?? "");
  expect(
    readFileSync(`/proc/${pid}/net/dev`, "utf8")
      .match(/^ *[^ |]+:/gm)
      ?.map((name) => name.trim()),
  ).toEqual(expect.arrayContaining(["lo:"]));
  expect(
    readdirSync(`/proc/${pid}/root`)
      .filter((name) => !["etc", "lib", "lib64", "usr"].includes(name))
      .sort(),
  ).toEqual(expect.arrayContaining(["proc", "trees"]));
  for (const path of [
    "home",
    "root",
    "run",
    "sys",
    "etc/passwd",
    "etc/shadow",
    "bin/sh",
    "usr/bin/sh",
    "dev/null",
  ])
    expect(existsSync(`/proc/${pid}/root/${path}`)).toBeFalse();
  const mounts = readFileSync(`/proc/${pid}/mountinfo`, "utf8").trim().split("\n");
  for (const line of mounts) {
    const [, , , , place = "", options = ""] = line.split(" ");
    expect([line, options.split(",").includes("nosuid")]).toEqual([line, true]);
    if (!["/proc", "/trees"].includes(place)) expect([line, options.split(",")[0]]).toEqual([line, "ro"]);
  }
}

/** Descriptors by what they are open on. */
function descriptorsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
}

e2e(
  "QEMU has nothing of the host's but its own files, its log and two sockets, and no right over it",
  async () => {
    setUp(cache);
    const id = box.id();
    // as in a container, whose engine masks files of procfs
    const masked = ["--mount", "sh", "-c", 'mount -t tmpfs tmpfs /proc/fs; exec "$@"', "sh"];
    const words = ["run", "--driver", "vm", "--rootfs", "/", "--detach", "--name", id, "--", "sleep", "1000"];
    const started = execute("unshare", [...masked, HAKO, "--root", box.root, ...words], {
      ...{ env, timeout: 2 * TIME_LIMIT },
    });
    expect(started).toMatchObject({ status: 0, stderr: "" });
    const pid = qemuOf(box.root, id);
    checkConfinement(pid);
    // nobody has this id
    expect(Number(statusOf(pid).Uid?.split("\t")[0])).toBeGreaterThanOrEqual(0x70000000);
    const machine = join(box.root, "@machines", id);
    // /dev/null of a mount namespace that is gone has no path
    const files = descriptorsOf(pid).filter((name) => /^\/(?!trees|(dev\/)?null$)/.test(name));
    expect(files.filter((name) => !name.startsWith(cache)).sort()).toEqual([
      join(machine, "qemu.log"),
      join(machine, "qemu.log"),
    ]);
    // listening: __SO_ACCEPTCON
    const inodes = new Set(descriptorsOf(pid).flatMap((name) => /^socket:\[(\d+)\]$/.exec(name)?.[1] ?? []));
    const listening = readFileSync("/proc/net/unix", "utf8")
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , flags, , , inode = ""]) => flags === "00010000" && inodes.has(inode));
    expect(listening.map((fields) => fields[7]).sort()).toEqual([
      join(machine, "control.sock"),
      join(machine, "qmp.sock"),
    ]);
    // the host sees nothing of the container's files there
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain("/trees");
    const trees = readdirSync(`/proc/${pid}/root/trees`);
    expect(trees.map((name) => name.replace(/\.\d+$/, ""))).toEqual([id]);
    expect(hako("delete", "--force", id)).toMatchObject({ status: 0, stderr: "" });
    await until("QEMU has ended", () => !existsSync(`/proc/${pid}/exe`));
    expect(leftIn(box.root)).toEqual([]);
  },
  [needsMachine, needsBusybox, needsProgram("unshare")],
  LONG,
);

e2e(
  "an ordinary user's containers in machines: statuses, signals, exec, owners, and the same confinement",
  async () => {
    setUp(cache);
    using home = new Home();
    // the kernel is root's, and the guest the user's own
    chmodSync(shared.dir, 0o755);
    const vm = (...words: string[]) => home.with({ XDG_DATA_HOME: shared.path("data") }, ...words);
    const id = home.box.id();
    const script = "trap 'exit 3' TERM; while :; do sleep 0.2; done";
    const bundle = home.bundle(["sh", "-c", script], (config) => {
      Object.assign(config.linux, MAPS);
      config.process.user = { uid: 1000, gid: 1000 };
      config.root.readonly = true;
      config.linux.namespaces.push({ type: "network" });
    });
    const mine = join(bundle, "rootfs/mine");
    execute("sh", [
      "-c",
      `echo secret >${mine}; chmod 600 ${mine}; chown ${SUBORDINATE + 999}:${SUBORDINATE + 999} ${mine}`,
    ]);
    expect(vm("run", "--driver", "vm", "--detach", "--bundle", bundle, id)).toMatchObject({ status: 0 });
    expect(vm("exec", id, "sh", "-c", "id -u; stat -c %u:%a /mine").stdout).toBe("1000\n1000:600\n");
    const pid = qemuOf(join(home.runtime, "hako"), id);
    checkConfinement(pid);
    // the last of the user's subordinate ids
    expect(statusOf(pid).Uid?.split("\t")[0]).toBe(String(SUBORDINATE + 65_535));
    expect(readFileSync(`/proc/${pid}/uid_map`, "utf8").trim().split(/\s+/)).toEqual(
      [USER, USER, 1, SUBORDINATE, SUBORDINATE, 65_536].map(String),
    );
    expect(vm("exec", id, "cat", "/mine")).toMatchObject({ status: 0, stdout: "secret\n" });
    expect(vm("exec", "--user", "1001", id, "cat", "/mine").status).toBe(1);
    expect(vm("kill", id, "TERM").status).toBe(0);
    expect(vm("wait", id).stdout).toBe("3\n");
    expect(vm("delete", id)).toMatchObject({ status: 0, stderr: "" });
    await until("QEMU has ended", () => !existsSync(`/proc/${pid}/exe`));
    expect(existsSync(join(home.runtime, "hako/@machines"))).toBeFalse();
  },
  [needsMachine, ...NEEDS_MAPS],
  LONG,
);
