// `hako run --idle`: a container whose only process is hako's own, for commands of `exec`.
import { describe, expect } from "bun:test";
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { Home, NEEDS, USER } from "./rootless-home";
import { Box, e2e, execute, HAKO, needsHako, needsProgram, until } from "./support";

const BUSYBOX = Bun.which("busybox") ?? "";

/** A root file system with one file in it, which needs no other one. */
function almostEmpty(box: Box): string {
  const rootfs = box.path("almost-empty");
  mkdirSync(rootfs);
  copyFileSync(BUSYBOX, `${rootfs}/busybox`);
  return rootfs;
}

describe("run --idle", () => {
  e2e("needs nothing of its root file system, which stays as it is; commands come by exec", () => {
    using box = new Box();
    const rootfs = almostEmpty(box);
    const id = box.id();
    expect(box.ok("run", "--detach", "--idle", "--rootfs", rootfs, "--name", id).stdout).toBe("");
    expect(box.ok("exec", id, "/busybox", "echo", "in it").stdout).toBe("in it\n");
    const { stdout } = box.ok(
      "exec",
      id,
      "/busybox",
      "sh",
      "-c",
      "/busybox sleep 0.1 & /busybox cat /proc/1/comm",
    );
    expect(stdout).toBe("hako-init\n");
    // what commands leave is reaped, and the first process is alone again
    expect(JSON.parse(box.ok("state", id).stdout).status).toBe("running");
    expect(box.ok("stop", id).stdout).toBe(`${id}\n`);
    expect(JSON.parse(box.ok("state", id).stdout)).toMatchObject({ status: "stopped", exitCode: 0 });
    box.ok("delete", id);
    const made = box.ok("run", "--detach", "--idle", "--rootfs", rootfs).stdout.trim();
    box.ok("delete", "--force", made);
    expect(readdirSync(rootfs)).toEqual(["busybox"]);
  }, [needsHako, needsProgram("busybox")]);

  e2e("an image of one file, whose command is not run", () => {
    using box = new Box();
    const archive = box.path("scratch.tar");
    execute("tar", ["-cf", archive, "-C", almostEmpty(box), "busybox"]);
    const id = box.ok("run", "--detach", "--idle", "--rootfs", archive).stdout.trim();
    expect(box.ok("exec", id, "/busybox", "echo", "x").stdout).toBe("x\n");
    box.ok("delete", "--force", id);
  }, [needsHako, needsProgram("busybox")]);

  e2e("in the foreground it prints its id, and TERM, INT, HUP and QUIT end it with status 0", async () => {
    using box = new Box();
    for (const signal of ["TERM", "INT", "HUP", "QUIT"] as const) {
      const report = box.path(`report-${signal}`);
      const program = Bun.spawn(
        [HAKO, "--root", box.root, "run", "--rootfs", "/", "--idle", "--report", report],
        {
          stdout: "pipe",
        },
      );
      const reader = program.stdout.getReader();
      const id = new TextDecoder().decode((await reader.read()).value).trim();
      expect(box.ok("exec", id, "echo", "x").stdout).toBe("x\n");
      // what a command has left behind ends with it
      box.ok("exec", id, "sh", "-c", "sleep 86397 > /dev/null 2>&1 &");
      process.kill(program.pid, `SIG${signal}`);
      expect(await program.exited).toBe(0);
      const { exitCode, signal: by } = JSON.parse(readFileSync(report, "utf8"));
      expect([exitCode, by]).toEqual([0, null]);
      expect(box.hako("state", id).status).not.toBe(0);
    }
  });

  e2e("no command in it can end it, whatever it sends; others outside can", () => {
    using box = new Box();
    const id = box.id();
    box.ok("run", "--detach", "--idle", "--rootfs", "/", "--name", id);
    // sigqueue(3) lets the sender say who it is: nobody, as if it were outside
    const program = `
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
for signal in (1, 2, 3, 15):
    os.kill(1, signal)
    info = struct.pack("iiiiiiq", signal, 0, -1, 0, 0, 0, 0).ljust(128, b"\\0")
    libc.syscall(${process.arch === "arm64" ? 138 : 129}, 1, signal, info)
os.kill(1, 9)
print("sent")`;
    const sent =
      Bun.which("python3") === null ? "echo sent; kill -TERM 1; kill -9 1" : 'python3 -c "$PROGRAM"';
    expect(box.hako("exec", "-e", `PROGRAM=${program}`, id, "sh", "-c", sent).stdout).toBe("sent\n");
    expect(box.ok("exec", id, "echo", "here").stdout).toBe("here\n");
    box.ok("kill", id, "TERM");
    expect(box.ok("wait", id).stdout).toBe("0\n");
  }, [needsHako]);

  e2e("what is about a command is refused, and leaves nothing", () => {
    using box = new Box();
    const run = (...flags: string[]) => box.hako("run", "--rootfs", "/", "--idle", ...flags);
    expect(run("--", "ls")).toMatchObject({
      status: 2,
      stderr: "hako: --idle and COMMAND contradict each other (hako exec ID COMMAND runs one in it)\n",
    });
    for (const flags of [
      ["--no-init"],
      ["--tty"],
      ["--entrypoint", "x"],
      ["--weaker", "namespaces"],
      ["a", "b"],
    ])
      expect([flags, run(...flags).status]).toEqual([flags, 2]);
    expect(box.hako("run", "--idle", "-b", box.path("x"), "y").stderr).toContain("--idle needs --rootfs");
    expect(box.ok("list", "--quiet").stdout).toBe("");
  });

  e2e("a service manager that wants to be told is not waited for", () => {
    using box = new Box();
    const env = { PATH: process.env.PATH ?? "", NOTIFY_SOCKET: box.path("notify") };
    const run = ["--root", box.root, "run", "--detach", "--idle", "--rootfs", "/"];
    const { status, stdout } = execute("timeout", ["-s", "KILL", "30", HAKO, ...run], { env });
    expect(status).toBe(0);
    box.ok("delete", "--force", stdout.trim());
  }, [needsHako]);

  e2e("ends when its time is over, asked or not, and with whom it was started for", async () => {
    using box = new Box();
    const run = (...flags: string[]) => ["run", "--rootfs", "/", "--idle", ...flags];
    const begun = performance.now();
    expect(box.hako(...run("--timeout", "200ms")).status).toBe(124);
    expect(box.hako(...run("--timeout", "200ms", "--grace", "5m")).status).toBe(124);
    expect(performance.now() - begun).toBeLessThan(60_000);
    const line = `"$@" | head -n 1; exec sleep 86396`;
    const words = [HAKO, "--root", box.root, ...run("--die-with-parent")];
    const parent = Bun.spawn(["sh", "-c", line, "sh", ...words], { stdout: "ignore" });
    await until("it is there", () => box.ok("list", "-q").stdout !== "");
    parent.kill("SIGKILL");
    await until("none is left", () => box.ok("list", "-q").stdout === "");
  });

  e2e(
    "of an ordinary user",
    () => {
      using home = new Home();
      const id = home.hako("run", "--detach", "--idle", "--rootfs", "/").stdout.trim();
      expect(home.hako("exec", id, "id", "-u").stdout).toBe(`${USER}\n`);
      expect(home.hako("stop", id).stdout).toBe(`${id}\n`);
    },
    NEEDS,
  );
});
