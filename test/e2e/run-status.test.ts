// Whose failure it was: the exit statuses of `hako run --rootfs`, and those of bundles, which are runc's.
import { describe, expect } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { Box, busyboxRootfs, e2e, execute, HAKO, needsHako, SLEEP } from "./support";

describe("run --rootfs", () => {
  e2e("125 is hako's own failure, and says one line", () => {
    using box = new Box();
    busyboxRootfs(box.path("root"));
    const taken = box.id();
    box.ok("run", "-d", "--rootfs", box.path("root"), "--name", taken, "--", ...SLEEP);
    const failures: Record<string, string[]> = {
      "no such directory": ["--rootfs", "/no/such"],
      "a user that isn't there": ["--rootfs", "/", "--user", "nosuchuser"],
      "a source that isn't there": ["--rootfs", "/", "-v", "/no/such:/mnt"],
      "a network that isn't there": ["--rootfs", "/", "--network", "/no/such"],
      "a profile that isn't there": ["--rootfs", "/", "--seccomp", "/no/such"],
      "memory for nothing": ["--rootfs", "/", "--memory", "4k"],
      "an id that is taken": ["--rootfs", "/", "--name", taken],
      "a pid file that can't be": ["--rootfs", "/", "--pid-file", "/no/such/pid"],
      "a descriptor that isn't open": ["--rootfs", "/", "--preserve-fds", "50"],
    };
    for (const [what, words] of Object.entries(failures)) {
      const { status, stdout, stderr } = box.hako("run", ...words, "--", "echo", "ran");
      expect([what, status, stdout, stderr]).toEqual([what, 125, "", expect.stringMatching(/^hako: .*\n$/)]);
    }
    const log = ["--root", box.root, "--log", "/no/such/log"];
    expect(execute(HAKO, [...log, "run", "--rootfs", "/", "--", "true"]).status).toBe(125);
    expect(execute(HAKO, ["--root", "/proc/no", "run", "--rootfs", "/", "--", "true"]).status).toBe(125);
    box.ok("delete", "--force", taken);
    expect(box.ok("list", "--quiet").stdout).toBe("");
  }, [needsHako]);

  e2e("what fails is called by its flag, where no config.json was written", () => {
    using box = new Box();
    const said = (...words: string[]) => box.hako("run", "--rootfs", "/", ...words, "--", "true").stderr;
    expect(said("--workdir", "/etc/passwd")).toStartWith(
      "hako: --workdir: mkdir /etc/passwd: not a directory",
    );
    expect(said("--hostname", "x".repeat(70))).toStartWith("hako: --hostname: sethostname ");
    // no page of memory is left to begin with
    expect(said("--memory", "1")).toMatch(/: --memory: out of memory: .*\(raise the limit\)\n$/);
    const file = box.path("report");
    box.hako("run", "--rootfs", "/", "--report", file, "--workdir", "/etc/passwd", "--", "true");
    expect(JSON.parse(readFileSync(file, "utf8")).hakoError.message).toStartWith(
      "--workdir: mkdir /etc/passwd",
    );
  }, [needsHako]);

  e2e("126 is a program that can't be executed, 127 one that isn't there", () => {
    using box = new Box();
    const root = box.path("root");
    busyboxRootfs(root);
    const file = (name: string, text: string, mode = 0o755) => {
      writeFileSync(`${root}/${name}`, text);
      chmodSync(`${root}/${name}`, mode);
    };
    mkdirSync(`${root}/directory`);
    file("plain", "#!/bin/sh\n", 0o644);
    file("garbage", "garbage\0");
    file("cut", "\x7fELF");
    file("uninterpreted", "#!/no/such\n");
    symlinkSync("circle", `${root}/circle`);
    const statusOf = (word: string) => box.hako("run", "--rootfs", root, "--", word).status;
    for (const name of ["directory", "plain", "garbage", "cut", "circle"])
      expect([name, statusOf(`/${name}`)]).toEqual([name, 126]);
    for (const name of ["/no/such", "/plain/x", "/uninterpreted", "nosuchprogram", ""])
      expect([name, statusOf(name)]).toEqual([name, 127]);
  }, [needsHako]);

  e2e("2 is wrong usage; what the program says is its own", () => {
    using box = new Box();
    const statusOf = (...words: string[]) => box.hako("run", "--rootfs", "/", ...words).status;
    expect(statusOf("--nonsense", "--", "true")).toBe(2);
    expect(statusOf("--memory", "lots", "--", "true")).toBe(2);
    expect(statusOf("--")).toBe(2);
    for (const status of [1, 2, 124, 125, 126, 127, 255])
      expect(statusOf("--", "sh", "-c", `exit ${status}`)).toBe(status);
  }, [needsHako]);
});

e2e("a bundle that can't be run says 1, as with runc", () => {
  using box = new Box();
  const run = (...words: string[]) => box.hako("run", ...words, box.id()).status;
  expect(run("--bundle", "/no/such")).toBe(1);
  expect(run("--bundle", box.bundle(["nosuchprogram"]))).toBe(1);
  expect(run("--bundle", box.bundle(["/etc"]))).toBe(1);
  expect(run("--bundle", box.bundle(["sh", "-c", "exit 125"]))).toBe(125);
});
