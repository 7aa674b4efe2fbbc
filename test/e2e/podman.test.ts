// @cgroup-v2
// hako under podman, with a storage of its own and an image made from busybox.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  busyboxRootfs,
  e2e,
  execute,
  expectUnchanged,
  HAKO,
  hostSnapshot,
  isV2,
  type Needs,
  needsBusybox,
  needsProgram,
  needsRoot,
  type Result,
  type RunOptions,
} from "./support";

const IMAGE = "localhost/hako-e2e-box";
const STATE = "/run/hako";
let dir = "";

const needs: Needs[] = [needsRoot, needsBusybox, needsProgram("podman"), needsProgram("conmon")];
const ready = needs.every((need) => need === undefined);

function podmanWith(options: RunOptions, ...args: string[]): Result {
  const own = ["--root", join(dir, "storage"), "--runroot", join(dir, "run"), "--tmpdir", join(dir, "tmp")];
  return execute(
    "podman",
    [
      ...own,
      "--storage-driver=vfs",
      "--events-backend=none",
      "--cgroup-manager=cgroupfs",
      "--runtime",
      HAKO,
      ...args,
    ],
    { env: { PATH: process.env.PATH ?? "", HOME: dir, XDG_RUNTIME_DIR: join(dir, "xdg") }, ...options },
  );
}

const podman = (...args: string[]): Result => podmanWith({}, ...args);
/** podman's own default is more than an unprivileged virtual machine may set. */
const LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"];
const OFFLINE = [...LIMITS, "--network", "none"];
const run = (...args: string[]): Result => podman("run", "--rm", ...OFFLINE, ...args);

beforeAll(() => {
  if (!ready) return;
  dir = mkdtempSync("/tmp/hako-e2e-podman-");
  mkdirSync(join(dir, "xdg"));
  busyboxRootfs(join(dir, "rootfs"));
  execute("tar", ["-C", join(dir, "rootfs"), "-cf", join(dir, "box.tar"), "."]);
  const imported = podman("import", "--change", "CMD=sh", join(dir, "box.tar"), IMAGE);
  if (imported.status !== 0) throw new Error(`podman import: ${imported.stderr}`);
}, 120_000);

afterAll(() => {
  if (dir === "") return;
  podman("rm", "--all", "--force", "--time", "0");
  podman("rmi", "--all", "--force");
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n").reverse()) {
    const point = line.split(" ")[4] ?? "";
    if (point.startsWith(`${dir}/`)) execute("umount", ["-l", point]);
  }
  rmSync(dir, { recursive: true, force: true });
}, 120_000);

describe("podman", () => {
  e2e(
    "run echo",
    async () => {
      const before = hostSnapshot(STATE);
      expect(run(IMAGE, "echo", "hello")).toMatchObject({ status: 0, stdout: "hello\n" });
      await expectUnchanged({ ...before, mounts: hostSnapshot(STATE).mounts }, STATE);
    },
    needs,
  );

  e2e(
    "exit codes, and those of programs that can't start",
    () => {
      expect(run(IMAGE, "sh", "-c", "exit 42").status).toBe(42);
      expect(run(IMAGE, "sh", "-c", "kill -TERM $$; sleep 1; exit 3").status).toBe(3);
      expect(run(IMAGE, "nosuchprogram").status).toBe(127);
      expect(run(IMAGE, "/etc/passwd").status).toBe(126);
    },
    needs,
  );

  e2e(
    "a terminal",
    () => {
      const result = run("-t", IMAGE, "sh", "-c", "tty; echo done");
      expect(result.stdout).toContain("/dev/pts/0");
      expect(result.stdout).toContain("done");
      expect(result.status).toBe(0);
    },
    needs,
  );

  e2e(
    "input through a pipe",
    () => {
      const result = podmanWith({ input: "one\ntwo\n" }, "run", "--rm", "-i", ...OFFLINE, IMAGE, "wc", "-l");
      expect(result).toMatchObject({ status: 0, stdout: "2\n" });
    },
    needs,
  );

  e2e(
    "volumes",
    () => {
      mkdirSync(join(dir, "volume"), { recursive: true });
      writeFileSync(join(dir, "volume/in"), "in\n");
      const result = run(
        "-v",
        `${join(dir, "volume")}:/v`,
        IMAGE,
        "sh",
        "-c",
        "cat /v/in; echo out > /v/out",
      );
      expect(result).toMatchObject({ status: 0, stdout: "in\n" });
      expect(readFileSync(join(dir, "volume/out"), "utf8")).toBe("out\n");
      expect(run("-v", `${join(dir, "volume")}:/v:ro`, IMAGE, "touch", "/v/x").status).toBe(1);
      expect(run("--tmpfs", "/etc:tmpcopyup", IMAGE, "grep", "-c", "user", "/etc/passwd").stdout).toBe("1\n");
    },
    needs,
  );

  e2e(
    "limits",
    () => {
      const file = isV2 ? "/sys/fs/cgroup/memory.max" : "/sys/fs/cgroup/memory/memory.limit_in_bytes";
      expect(run("--memory", "64m", IMAGE, "cat", file).stdout).toBe(`${64 << 20}\n`);
      expect(run("--memory", "8m", "--pids-limit", "1", IMAGE, "true").status).toBe(0);
    },
    needs,
  );

  e2e(
    "host name, user, working directory, environment",
    () => {
      expect(run("--hostname", "crate", IMAGE, "hostname").stdout).toBe("crate\n");
      expect(run("--user", "1000:1000", IMAGE, "id", "-u").stdout).toBe("1000\n");
      expect(run("-w", "/tmp", "-e", "A=b", IMAGE, "sh", "-c", "echo $PWD $A").stdout).toBe("/tmp b\n");
    },
    needs,
  );

  e2e(
    "the host's namespaces, a read-only root, capabilities",
    () => {
      expect(podman("run", "--rm", ...LIMITS, "--network", "host", IMAGE, "true").status).toBe(0);
      expect(run("--pid", "host", "--ipc", "host", "--uts", "host", IMAGE, "true").status).toBe(0);
      expect(run("--read-only", IMAGE, "touch", "/x").status).toBe(1);
      expect(run("--cap-drop", "all", IMAGE, "grep", "CapEff", "/proc/self/status").stdout).toContain(
        "0000000000000000",
      );
    },
    needs,
  );

  e2e(
    "start, stop, restart, kill, wait, pause of a detached container",
    async () => {
      const before = hostSnapshot(STATE);
      const name = "hako-e2e-podman";
      expect(
        podman(
          "run",
          "-d",
          ...OFFLINE,
          "--name",
          name,
          IMAGE,
          "sh",
          "-c",
          "trap 'exit 5' TERM; while :; do sleep 0.1; done",
        ).status,
      ).toBe(0);
      const status = (): string =>
        podman("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name).stdout.trim();
      expect(status()).toBe("running 0");
      await Bun.sleep(300);
      expect(podman("stop", name).status).toBe(0);
      expect(status()).toBe("exited 5");
      expect(podman("start", name).status).toBe(0);
      expect(podman("kill", name).status).toBe(0);
      expect(podman("wait", name).stdout).toBe("137\n");
      expect(podman("rm", "--force", name).status).toBe(0);
      await expectUnchanged({ ...before, mounts: hostSnapshot(STATE).mounts }, STATE);
    },
    needs,
  );

  e2e(
    "the default seccomp profile is in force, for run and for exec",
    () => {
      const line = "grep -E '^(Seccomp|Seccomp_filters):' /proc/self/status; mkdir /tmp/made && echo made";
      const result = run(IMAGE, "sh", "-c", line);
      expect(result.stdout).toMatch(/^Seccomp:\t2\nSeccomp_filters:\t1\n(.*\n)*made\n$/);
      const name = `hako-e2e-seccomp-${process.pid}`;
      expect(podman("run", "-d", "--name", name, ...OFFLINE, IMAGE, "sleep", "600").status).toBe(0);
      expect(podman("exec", name, "grep", "^Seccomp:", "/proc/self/status").stdout).toBe("Seccomp:\t2\n");
      expect(podman("exec", name, "sh", "-c", "exit 3").status).toBe(3);
      expect(
        podman("exec", "-u", "1000", "-w", "/tmp", "-e", "A=b", name, "sh", "-c", "id -u; pwd; echo $A")
          .stdout,
      ).toBe("1000\n/tmp\nb\n");
      expect(podman("pause", name).status).toBe(0);
      expect(podman("inspect", "-f", "{{.State.Status}}", name).stdout).toBe("paused\n");
      expect(podman("unpause", name).status).toBe(0);
      expect(podman("rm", "-f", "-t", "0", name).status).toBe(0);
    },
    needs,
  );
});
