// hako as a tool of shell scripts: `hako run --rootfs DIR [limits] ID -- COMMAND`, without a bundle.
import { describe, expect } from "bun:test";
import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { Box, busyboxRootfs, e2e, expectUnchanged, HAKO, hostSnapshot, isV2, needsHako } from "./support";

describe("run --rootfs", () => {
  e2e("the host's own root: the program sees it, and what it writes is gone", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const script = "cat /etc/os-release | head -n 1; echo x > /etc/hako-e2e-mark && cat /etc/hako-e2e-mark";
    const result = box.hako("run", "--rootfs", "/", box.id(), "--", "sh", "-c", script);
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(result.stdout).toMatch(/=.*\nx\n$/s);
    expect(existsSync("/etc/hako-e2e-mark")).toBe(false);
    await expectUnchanged(before, box.root);
  }, [needsHako]);

  e2e("isolation: processes, host name, mounts, network", () => {
    using box = new Box();
    const script =
      "echo $$; readlink /proc/self/ns/net; readlink /proc/self/ns/mnt; uname -n; ls /proc | grep -c '^[0-9]'";
    const result = box.hako("run", "--rootfs", "/", "--network", "none", box.id(), "--", "sh", "-c", script);
    const [pid, net, mnt, name, processes] = result.stdout.split("\n");
    expect(pid).toBe("1");
    expect(net).not.toBe(readlinkSync("/proc/self/ns/net"));
    expect(mnt).not.toBe(readlinkSync("/proc/self/ns/mnt"));
    expect(name).not.toBe(hostname());
    expect(Number(processes)).toBeLessThan(5);
  }, [needsHako]);

  e2e("the host's network", () => {
    using box = new Box();
    const result = box.hako(
      "run",
      "--rootfs",
      "/",
      "--network",
      "host",
      box.id(),
      "--",
      "readlink",
      "/proc/self/ns/net",
    );
    expect(result.stdout).toBe(`${readlinkSync("/proc/self/ns/net")}\n`);
  }, [needsHako]);

  e2e("another root file system, by absolute and by relative path", () => {
    using box = new Box();
    busyboxRootfs(box.path("root"));
    for (const rootfs of [box.path("root"), "root"]) {
      const result = box.hakoWith({ cwd: box.dir }, "run", "--rootfs", rootfs, box.id(), "--", "ls", "/");
      expect(result).toMatchObject({ status: 0, stderr: "" });
      expect(result.stdout.split("\n")).toEqual(expect.arrayContaining(["bin", "etc", "proc"]));
    }
    expect(readdirSync(box.path("root")).sort()).toEqual(["bin", "dev", "etc", "proc", "root", "sys", "tmp"]);
  }, [needsHako]);

  e2e("exit codes, as shells have them", () => {
    using box = new Box();
    const run = (...words: string[]): number | null =>
      box.hako("run", "--rootfs", "/", box.id(), "--", ...words).status;
    expect(run("sh", "-c", "exit 7")).toBe(7);
    expect(run("/no/such/program")).toBe(127);
    expect(run("nosuchprogram")).toBe(127);
    expect(run("/etc/passwd")).toBe(126);
    expect(box.hako("run", "--rootfs", "/no/such/dir", box.id(), "--", "true").status).toBe(1);
    expect(box.hako("run", "--nonsense").status).toBe(2);
  }, [needsHako]);

  e2e("options of the command are the command's", () => {
    using box = new Box();
    const result = box.hako("run", "--rootfs", "/", box.id(), "--", "echo", "--memory", "-x", "--", "y");
    expect(result.stdout).toBe("--memory -x -- y\n");
  }, [needsHako]);

  e2e("a memory limit", () => {
    using box = new Box();
    const file = isV2 ? "/sys/fs/cgroup/memory.max" : "/sys/fs/cgroup/memory/memory.limit_in_bytes";
    const result = box.hako("run", "--rootfs", "/", "--memory", "64M", box.id(), "--", "cat", file);
    expect(result).toMatchObject({ status: 0, stdout: `${64 << 20}\n` });
    expect(box.hako("run", "--rootfs", "/", "--memory", "lots", box.id(), "--", "true").status).toBe(2);
  }, [needsHako]);

  e2e("input and output through pipes", () => {
    using box = new Box();
    const result = box.hakoWith({ input: "b\na\n" }, "run", "--rootfs", "/", box.id(), "--", "sort");
    expect(result).toMatchObject({ status: 0, stdout: "a\nb\n" });
  }, [needsHako]);

  e2e("--timeout kills it, also what ignores signals, and leaves nothing", () => {
    using box = new Box();
    const run = (time: string, line: string) =>
      box.hako("run", "--rootfs", "/", "--timeout", time, box.id(), "--", "sh", "-c", line);
    expect(run("300ms", "trap '' TERM; sleep 100 & wait").status).toBe(124);
    expect(run("1m", "exit 4").status).toBe(4);
    expect(run("1", "true").status).toBe(2);
    expect(box.hako("run", "--rootfs", "/", "--timeout", "1s", "-d", box.id(), "--", "true").status).toBe(2);
    expect(box.ok("list", "-q").stdout).toBe("");
  }, [needsHako]);

  e2e("a signal that the program has no handler for ends it, as without a container", async () => {
    using box = new Box();
    const signalled = async (line: string) => {
      const id = box.id();
      const child = Bun.spawn(
        [HAKO, "--root", box.root, "run", "--rootfs", "/", id, "--", "sh", "-c", line],
        {
          stdout: "pipe",
        },
      );
      const { value } = await child.stdout.getReader().read();
      expect(Buffer.from(value ?? []).toString()).toBe("ready\n");
      child.kill("SIGTERM");
      return await child.exited;
    };
    expect(await signalled("echo ready; exec sleep 100")).toBe(128 + 15);
    expect(await signalled("trap 'kill $!; exit 9' TERM; sleep 100 & echo ready; wait")).toBe(9);
    expect(await signalled("trap '' TERM; echo ready; sleep 1; exit 3")).toBe(3);
    expect(box.ok("list", "-q").stdout).toBe("");
  }, [needsHako]);

  e2e("on the host's own root it starts in the caller's directory; another user does not", () => {
    using box = new Box();
    const inBox = { cwd: box.dir };
    const where = (...flags: string[]) =>
      box.hakoWith(inBox, "run", "--rootfs", "/", ...flags, box.id(), "--", "pwd").stdout.trim();
    expect(where()).toBe(box.dir);
    expect(where("--user", "nobody")).toBe("/");
    expect(where("--workdir", "/usr")).toBe("/usr");
  }, [needsHako]);

  e2e("a mount of what doesn't exist is refused by its flag", () => {
    using box = new Box();
    const run = (...words: string[]) => box.hako("run", "--rootfs", "/", ...words, box.id(), "--", "true");
    for (const words of [
      ["--mount", "source=/no/such,target=/mnt"],
      ["-v", "/no/such:/mnt"],
    ]) {
      const { status, stderr } = run(...words);
      expect(status).toBe(1);
      expect(stderr).toMatch(
        /^hako: --(mount|volume) "[^"]*": \/no\/such does not exist \(make it first\)\n$/,
      );
    }
    expect(box.ok("list", "-q").stdout).toBe("");
  }, [needsHako]);

  e2e("docker's short flags", () => {
    using box = new Box();
    const words = ["-m", "32M", "--net", "none", "--pids-limit", "20", "-v", "/etc:/mnt:ro", "-w", "/mnt"];
    const options = { env: { PATH: process.env.PATH ?? "", HAKO_E2E: "from outside" } };
    const line = "pwd; cat hostname >/dev/null && ! touch x 2>/dev/null && echo $HAKO_E2E";
    const result = box.hakoWith(
      options,
      "run",
      "--rootfs",
      "/",
      ...words,
      "-e",
      "HAKO_E2E",
      box.id(),
      "--",
      "sh",
      "-c",
      line,
    );
    expect(result).toMatchObject({ status: 0, stdout: "/mnt\nfrom outside\n" });
  }, [needsHako]);
});
