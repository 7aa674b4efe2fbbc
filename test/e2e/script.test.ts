// hako as a tool of shell scripts: `hako run --rootfs DIR [limits] ID -- COMMAND`, without a bundle.
import { describe, expect } from "bun:test";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
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
    expect(pid).toBe("2");
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

  e2e("with the host's root the program finds what the caller finds, also as another user", () => {
    using box = new Box();
    const mine = box.path("mine");
    mkdirSync(mine);
    writeFileSync(join(mine, "my-tool"), "#!/bin/sh\npwd; id -u\n", { mode: 0o755 });
    for (const path of [box.dir, mine]) chmodSync(path, 0o755);
    busyboxRootfs(box.path("root"));
    const run = (path: string | undefined, ...words: string[]) =>
      box.hakoWith({ cwd: mine, env: path === undefined ? {} : { PATH: path } }, "run", "--rootfs", ...words);
    const path = `${mine}:/usr/bin:/bin`;
    for (const [user, id] of [[[], "0"] as const, [["--user", "65534"], "65534"] as const]) {
      for (const tool of ["my-tool", "./my-tool"])
        expect(run(path, "/", ...user, "--", tool)).toMatchObject({ status: 0, stdout: `${mine}\n${id}\n` });
    }
    expect(run(path, "/", "-e", "PATH=/usr/bin:/bin", "--", "my-tool").status).toBe(127);
    expect(run(undefined, "/", "--", "pwd")).toMatchObject({ status: 0, stdout: `${mine}\n` });
    // another root has other places
    expect(run(path, box.path("root"), "--", "sh", "-c", "pwd; echo $PATH").stdout).toBe(
      "/\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
    );
  }, [needsHako]);

  e2e("a program below the container's own /dev/shm is not the caller's: the error says how it gets in", () => {
    using box = new Box();
    const shown = mkdtempSync("/dev/shm/hako-e2e-");
    const run = (...words: string[]) => box.hakoWith({ cwd: shown }, "run", "--rootfs", "/", ...words);
    try {
      writeFileSync(join(shown, "x.sh"), "#!/bin/sh\necho shown\n", { mode: 0o755 });
      for (const name of ["./x.sh", join(shown, "x.sh")]) {
        const result = run("--", name);
        expect(result.status).toBe(127);
        expect(result.stderr).toContain(
          `(the container's /dev/shm is its own: -v ${shown}:${shown} shows yours)`,
        );
        expect(run("-v", `${shown}:${shown}`, "--", name)).toMatchObject({ status: 0, stdout: "shown\n" });
      }
      // what isn't there either
      expect(run("--", "./y.sh").stderr).not.toContain("its own");
    } finally {
      rmSync(shown, { recursive: true });
    }
  }, [needsHako]);

  e2e("with the host's root TERM is the caller's; of another root xterm, whose files it may have", () => {
    using box = new Box();
    busyboxRootfs(box.path("root"));
    const term = (rootfs: string, TERM: string | undefined) =>
      box.hakoWith(
        { env: { PATH: "/usr/bin:/bin", ...(TERM === undefined ? {} : { TERM }) } },
        ...["run", "--rootfs", rootfs, "--", "sh", "-c", "echo $TERM"],
      ).stdout;
    expect(term("/", "screen-256color")).toBe("screen-256color\n");
    for (const [root, TERM] of [["/", undefined] as const, [box.path("root"), "screen-256color"] as const])
      expect(term(root, TERM)).toBe("xterm\n");
  }, [needsHako]);

  e2e("a user that /etc/passwd doesn't know has no group of root's", () => {
    using box = new Box();
    const groups = (...words: string[]) => box.ok("run", "--rootfs", "/", ...words, "--", "id", "-G").stdout;
    expect(groups("--user", "987654")).toBe("987654\n");
    expect(groups("--user", "987654:7")).toBe("7\n");
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
    expect(box.hako("run", "--rootfs", "/no/such/dir", box.id(), "--", "true").status).toBe(125);
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
    expect([run("0.3", "sleep 100").status, run("1x", "true").status]).toEqual([124, 2]);
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

  e2e("on the host's own root it starts in the caller's directory, as another user too", () => {
    using box = new Box();
    const inBox = { cwd: box.dir };
    const where = (...flags: string[]) =>
      box.hakoWith(inBox, "run", "--rootfs", "/", ...flags, box.id(), "--", "pwd").stdout.trim();
    expect(where()).toBe(box.dir);
    expect(where("--user", "nobody")).toBe(box.dir);
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
      expect(status).toBe(125);
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

  describe("mounts", () => {
    /** A directory with a file system mounted in it, and one in that. */
    function tree(box: Box): { top: string; unmount: () => void } {
      const top = box.path("tree");
      for (const place of [`${top}/sub`, `${top}/sub/deep`]) {
        mkdirSync(place, { recursive: true });
        execFileSync("mount", ["-t", "tmpfs", "hako-e2e", place]);
      }
      return { top, unmount: () => execFileSync("umount", ["-R", `${top}/sub`]) };
    }
    const TRY = "for p in /x /x/sub /x/sub/deep; do touch $p/new 2>/dev/null && echo $p; done; true";
    const run = (box: Box, ...words: string[]) => box.hako("run", "--rootfs", "/", ...words);

    e2e("read-only is so all the way down, however it is said", () => {
      using box = new Box();
      const { top, unmount } = tree(box);
      try {
        for (const words of [
          ["-v", `${top}:/x:ro`],
          ["-v", `${top}:/x:readonly`],
          ["-v", `${top}:/x:ro=true,z`],
          ["--mount", `type=bind,source=${top},target=/x,ro`],
          ["--mount", `source=${top},target=/x,readonly=true`],
          ["--mount", `source=${top},target=/x,rw=false`],
        ]) {
          const result = run(box, ...words, box.id(), "--", "sh", "-c", TRY);
          expect([words, result]).toMatchObject([words, { status: 0, stdout: "", stderr: "" }]);
        }
        expect(readdirSync(`${top}/sub/deep`)).toEqual([]);
        const written = (words: string) =>
          run(box, "-v", `${top}:/x:${words}`, box.id(), "--", "sh", "-c", TRY).stdout;
        expect(written("ro,bind-recursive=writable")).toBe("/x/sub\n/x/sub/deep\n");
        expect(written("rw")).toBe("/x\n/x/sub\n/x/sub/deep\n");
      } finally {
        unmount();
      }
    }, [needsHako]);

    e2e("what takes rights away takes them from what is mounted below, too", () => {
      using box = new Box();
      const { top, unmount } = tree(box);
      try {
        const line = "grep ' /x' /proc/mounts";
        const out = run(box, "-v", `${top}:/x:noexec,nosuid,nodev`, box.id(), "--", "sh", "-c", line).stdout;
        expect(out.trim().split("\n").length).toBe(3);
        for (const each of out.trim().split("\n")) expect(each).toMatch(/nosuid,nodev,noexec/);
      } finally {
        unmount();
      }
    }, [needsHako]);

    e2e("what nobody knows is refused, with what was meant", () => {
      using box = new Box();
      for (const [word, hint] of [
        ["RO", "did you mean ro?"],
        ["r0", "did you mean ro?"],
        ["read-only", "did you mean ro?"],
        ["ro=maybe", "neither true nor false"],
        ["size=1m", "unknown option"],
        ["O", "can't be done"],
      ]) {
        for (const flags of [
          ["-v", `/etc:/x:${word}`],
          ["--mount", `type=bind,source=/etc,target=/x,${word}`],
        ]) {
          const { status, stderr } = run(box, ...flags, box.id(), "--", "true");
          expect([word, status]).toEqual([word, 2]);
          expect(stderr).toContain(hint as string);
        }
      }
      expect(box.ok("list", "-q").stdout).toBe("");
    }, [needsHako]);

    e2e("what the host mounts later in a directory does not appear", async () => {
      using box = new Box();
      const { top, unmount } = tree(box);
      try {
        execFileSync("mount", ["--make-shared", `${top}/sub`]);
        const id = box.id();
        box.ok("run", "-d", "--rootfs", "/", "-v", `${top}:/x:ro`, id, "--", "sleep", "600");
        mkdirSync(`${top}/sub/later`);
        execFileSync("mount", ["-t", "tmpfs", "hako-e2e", `${top}/sub/later`]);
        expect(box.hako("exec", id, "touch", "/x/sub/later/new").status).toBe(1);
        box.ok("delete", "--force", id);
      } finally {
        unmount();
      }
    }, [needsHako]);

    e2e("--read-only covers what is mounted below the root file system", () => {
      using box = new Box();
      const { top, unmount } = tree(box);
      try {
        mkdirSync(box.path("volume"));
        busyboxRootfs(`${top}/sub`);
        const line =
          "for p in / /deep /deep/volume /dev/shm; do touch $p/new && echo $p; done 2>/dev/null; true";
        const volume = `${box.path("volume")}:/deep/volume`;
        const words = ["run", "--rootfs", `${top}/sub`, "--read-only", "-v", volume];
        const result = box.hako(...words, box.id(), "--", "sh", "-c", line);
        expect(result).toMatchObject({ status: 0, stdout: "/deep/volume\n/dev/shm\n", stderr: "" });
        expect(readdirSync(`${top}/sub/deep`)).toEqual([]);
        expect(readdirSync(box.path("volume"))).toEqual(["new"]);
        const own = ["--rootfs", "/", "--read-only", box.id(), "--", "sh", "-c"];
        const places = [`${top}`, `${top}/sub`, `${top}/sub/deep`, "/tmp"].join(" ");
        expect(
          box.hako("run", ...own, `for p in ${places}; do touch $p/n 2>/dev/null && echo $p; done; true`),
        ).toMatchObject({ status: 0, stdout: "", stderr: "" });
      } finally {
        unmount();
      }
    }, [needsHako]);

    e2e("--read-only covers a mount point whose name is no UTF-8", () => {
      using box = new Box();
      busyboxRootfs(box.path("root"));
      const name = `${box.path("root")}/$(printf 'a\\377b c')`;
      const host = (line: string) => execFileSync("sh", ["-c", line]);
      host(`mkdir "${name}" && mount -t tmpfs hako-e2e "${name}"`);
      try {
        const line = "for d in /a*; do touch \"$d/new\" && echo written; done; grep ' /a' /proc/mounts";
        const result = box.hako("run", "--rootfs", box.path("root"), "--read-only", "--", "sh", "-c", line);
        expect(result.stdout).toMatch(/^hako-e2e \/a\S+ tmpfs ro,/);
        expect(result.stderr).toContain("Read-only file system");
      } finally {
        host(`umount "${name}"`);
      }
    }, [needsHako]);

    e2e("a parent doesn't hide its child, in whatever order and by whatever flag they are given", () => {
      using box = new Box();
      const source = box.path("source");
      mkdirSync(`${source}/secret`, { recursive: true });
      symlinkSync("/mnt", "/tmp/hako-e2e-link");
      const line = "touch /mnt/a/secret/file";
      try {
        for (const words of [
          ["-v", `${source}:/mnt/a`, "--mount", "type=tmpfs,target=/mnt/a/secret"],
          ["--mount", "type=tmpfs,target=/mnt/a/secret", "-v", `${source}:/mnt/a/`],
          [
            "--mount",
            "type=tmpfs,target=/mnt/a/secret",
            "-v",
            `${source}:/mnt/b/..//a`,
            "-v",
            `${source}:/mnt`,
          ],
          ["-v", `${source}:/mnt/a`, "--mount", "type=tmpfs,target=/tmp/hako-e2e-link/a/secret"],
        ]) {
          const result = run(box, ...words, box.id(), "--", "sh", "-c", line);
          expect([words, result]).toMatchObject([words, { status: 0, stderr: "" }]);
          expect(readdirSync(`${source}/secret`)).toEqual([]);
        }
      } finally {
        rmSync("/tmp/hako-e2e-link");
      }
    }, [needsHako]);
  });
});
