// The command line itself: global flags, exit statuses, help, version, log.
import { describe, expect } from "bun:test";
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { parse } from "../../scripts/elf";
import { preferringHugePages } from "../../scripts/page-faults";
import { CLEAN_START_HEADER, CLEAN_START_MAGIC } from "../../src/linux/file/clean-start-layout";
import { Box, e2e, execute, HAKO, needsHako, needsProgram } from "./support";

function hako(...words: string[]) {
  return execute(HAKO, words);
}

describe("command line", () => {
  e2e("wrong usage is 2, with one line", () => {
    const rows = [
      ["moon"],
      ["--moon", "list"],
      ["list", "--moon"],
      ["list", "extra"],
      ["state"],
      ["--root"],
      ["--log-format", "xml", "list"],
      ["--rootless", "maybe", "list"],
      ["kill", "id", "NOSIGNAL"],
      ["state", "../x"],
    ];
    for (const words of rows) {
      const result = hako(...words);
      expect({ words, status: result.status, stdout: result.stdout }).toEqual({
        words,
        status: 2,
        stdout: "",
      });
      expect(result.stderr.trim().split("\n").length).toBe(1);
    }
  }, [needsHako]);

  e2e("the executable was told to ask for its memory at once", async () => {
    if (process.arch !== "x64") return;
    const bytes = readFileSync(HAKO);
    expect(preferringHugePages(bytes).equals(bytes)).toBe(true);
    // the entry is that of another piece of code, which says where it goes on
    const { entry: first, segments } = parse(bytes);
    const segmentOf = (address: number) =>
      segments.find((each) => each.address <= address && address < each.address + each.memorySize);
    const placed = segmentOf(first);
    const at = first - (placed?.address ?? 0) + (placed?.offset ?? 0);
    expect(bytes.readBigUInt64LE(at - CLEAN_START_HEADER.size + CLEAN_START_HEADER.magic)).toBe(
      CLEAN_START_MAGIC,
    );
    const entry =
      first + Number(bytes.readBigInt64LE(at - CLEAN_START_HEADER.size + CLEAN_START_HEADER.next));
    const { address = 0, memorySize: size = 0 } = segmentOf(entry) ?? {};
    // more than the end of the table of memory
    expect(address + size - entry).toBeGreaterThan(1000);

    using box = new Box();
    const id = box.started();
    const words = ["--root", box.root, "events", "--interval", "100ms", id];
    const watching = spawn(HAKO, words, { stdio: ["ignore", "pipe", "ignore"] });
    await new Promise((done) => watching.stdout.once("data", done));
    const { pid } = watching;
    // the flags of its constants and its code, which lie below 4 GiB: to be in huge pages
    const mappings = readFileSync(`/proc/${pid}/smaps`, "utf8").split(/^(?=[0-9a-f]+-)/m);
    watching.kill();
    const own = mappings.filter((text) => /^[0-9a-f]{1,8}-[0-9a-f]+ r-[-x]p 0*[0-9a-f]+ /.test(text));
    const huge = own.filter((text) => /^VmFlags:.* hg\b/m.test(text));
    expect(huge.length).toBe(existsSync("/sys/kernel/mm/transparent_hugepage") ? 2 : 0);
  }, [needsHako]);

  e2e("help: of the program, of every command, with an example", () => {
    const help = hako("--help");
    expect(help.status).toBe(0);
    const commands = [...help.stdout.matchAll(/^ {2}([a-z]+) {2,}\S/gm)].map((match) => match[1] ?? "");
    for (const name of ["create", "start", "state", "kill", "delete", "run", "list", "spec", "features"]) {
      expect(commands).toContain(name);
    }
    for (const name of commands) {
      const text = hako(name, "--help");
      expect({ name, status: text.status }).toEqual({ name, status: 0 });
      expect(text.stdout).toContain(`usage: hako ${name}`);
    }
    const bare = hako();
    expect(bare).toMatchObject({ status: 2, stdout: "", stderr: help.stdout });
  }, [needsHako]);

  e2e("wrong usage says what was meant", () => {
    const rows: [string[], string][] = [
      [["rum"], "did you mean hako run?"],
      [["RUN"], "did you mean hako run?"],
      [["-b", "web", "create", "web"], "it goes after the command: hako create -b ..."],
      [["-it", "run", "web"], "it goes after the command: hako run -it ..."],
      [["-f", "json", "cgroup", "show", "web"], "it goes after the command: hako cgroup show -f ..."],
      [["--moon", "list"], "hako --help lists the flags that stand before a command"],
      [["update", "--memory", "10X", "web"], "a number with K, M or G, as 64M"],
      [["list", "--formt", "json"], "did you mean --format?"],
      [["list", "--debug"], "hako --debug ... list"],
      [["list", "--moon"], "hako list --help"],
      [["state"], "usage: hako state CONTAINER"],
      [["cgroup"], "root, version, mounted, show"],
      [["run", "--rootfs", "/", "true"], "hako run --rootfs DIR"],
    ];
    for (const [words, hint] of rows) {
      const result = hako(...words);
      expect({ words, status: result.status }).toEqual({ words, status: 2 });
      expect(result.stderr).toContain(hint);
    }
  }, [needsHako]);

  e2e("words of kata-runtime 1.x: the same meaning, or a hint", () => {
    using box = new Box();
    const { stdout, status } = box.hako("kata-check", "--json");
    expect([status, JSON.parse(stdout).length]).toEqual([
      0,
      JSON.parse(box.ok("check", "--json").stdout).length,
    ]);
    expect(box.ok("kata-env", "--json").stdout).toBe(box.ok("env", "--json").stdout);
    expect(box.ok("version").stdout).toBe(box.ok("--version").stdout);
    const hints: [string[], string][] = [
      [["kata-overhead", "web"], "hako events --stats ID"],
      [["kata-network", "list-ifaces"], "hako netns exec"],
      [["factory", "init"], "hako machine template build"],
      [["--kata-config", "/etc/kata.toml", "list"], "no configuration file of kata's"],
      [["--kata-show-default-config-paths"], "no configuration file of kata's"],
      [["list", "--kata-all"], "hako list --json"],
      [["create", "--console", "/dev/pts/1", "web"], "--console-socket SOCK"],
      [["run", "--console=/dev/pts/1", "web"], "--console-socket SOCK"],
      [["exec", "--console", "/dev/pts/1", "web", "sh"], "--console-socket SOCK"],
      [["kata-check", "--no-network-checks"], "uses no network"],
      [["check", "--strict"], "no other versions to compare"],
    ];
    for (const [words, hint] of hints) {
      const result = box.hako(...words);
      expect([words, result.status, result.stdout]).toEqual([words, 2, ""]);
      expect(result.stderr).toContain(hint);
    }
  }, [needsHako]);

  e2e("rm is delete, ls is list: no list of commands has them", () => {
    using box = new Box();
    const id = box.started();
    expect(box.ok("ls", "-q").stdout).toBe(`${id}\n`);
    expect(box.ok("help", "rm").stdout).toBe(box.ok("delete", "--help").stdout);
    expect(box.hako("rm", id).stderr).toContain("hako delete --force");
    box.ok("rm", "-f", id);
    expect(box.ok("list", "--quiet").stdout).toBe("");
    for (const word of ["--help", "man"]) expect(box.ok(word).stdout).not.toMatch(/^( {2}|\.SS )(rm|ls)\b/m);
  }, [needsHako]);

  e2e("several ids for delete: each gets its turn, failures are told in one line", () => {
    using box = new Box();
    const [one, two, three] = [box.started(), box.started(), box.id()];
    box.ok("create", "--bundle", box.bundle(["true"]), three);
    const refused = box.hako("delete", one, "no-such", three);
    expect(refused.status).toBe(1);
    expect(refused.stderr.trim().split("\n")).toHaveLength(1);
    expect(refused.stderr).toMatch(new RegExp(`^hako: .*${one}.*; .*no-such`));
    expect(box.ok("list", "--quiet").stdout.split("\n")).not.toContain(three);
    box.ok("delete", "--force", one, two, "no-such");
    expect(box.ok("list", "--quiet").stdout).toBe("");
    expect(box.ok("delete", "--help").stdout).toContain("CONTAINER [CONTAINER...]");
  }, [needsHako]);

  e2e("a bundle without config.json: where it is looked for, and what makes one", () => {
    using box = new Box();
    for (const words of [["run", "x"], ["create", "x"], ["validate"]]) {
      const { status, stdout, stderr } = box.hakoWith({ cwd: box.dir }, ...words);
      expect(status).toBe(1);
      expect(stdout + stderr).toContain(
        `open ${box.dir}/config.json: no such file or directory (--bundle names`,
      );
    }
  }, [needsHako]);

  e2e("--json is --format json", () => {
    using box = new Box();
    for (const words of [["list"], ["mapping", "list"], ["env"], ["check"]]) {
      const json = box.hako(...words, "--json").stdout;
      expect(json).toBe(box.hako(...words, "--format", "json").stdout);
      JSON.parse(json);
    }
  }, [needsHako]);

  e2e("version, as go-runc reads it", () => {
    for (const flag of ["--version", "-v"]) {
      const lines = hako(flag).stdout.split("\n");
      expect(lines[0]).toMatch(/^runc version \S+$/);
      expect(lines[1]).toMatch(/^commit: [0-9a-f]{40}(-dirty)?$/);
      expect(lines[2]).toBe("spec: 1.3.0");
    }
  }, [needsHako]);

  e2e("flags in both forms; those that contradict each other are refused", () => {
    using box = new Box();
    for (const words of [["--root", box.root], [`--root=${box.root}`]]) {
      expect(hako(...words, "list", "--quiet")).toMatchObject({ status: 0, stdout: "" });
    }
    expect(hako("--systemd-cgroup", "--cgroup-manager=cgroupfs", "list")).toMatchObject({ status: 2 });
    expect(hako("--cgroup-manager=magic", "list").stderr).toContain("cgroupfs, systemd, disabled");
    for (const value of ["true", "false", "auto"])
      expect(hako(`--rootless=${value}`, "--root", box.root, "list").status).toBe(0);
    const wrong = hako("--rootless", "perhaps", "--root", box.root, "list");
    expect(wrong.status).toBe(2);
    expect(wrong.stderr).toContain('--rootless: "perhaps"');
  }, [needsHako]);

  e2e("the log: text and JSON, one object for a failure", () => {
    using box = new Box();
    const json = box.path("log.json");
    hako("--root", box.root, "--log", json, "--log-format=json", "state", "none");
    const text = readFileSync(json, "utf8");
    expect(text.trim().split("\n").length).toBe(1);
    expect(JSON.parse(text)).toMatchObject({
      level: "error",
      msg: expect.stringContaining("does not exist"),
    });
    const plain = box.path("log.txt");
    hako("--root", box.root, "--log", plain, "state", "none");
    expect(readFileSync(plain, "utf8")).toMatch(/^time="\S+" level=error msg=".*does not exist/);
    const empty = box.path("log.empty");
    expect(hako("--root", box.root, "--log", empty, "list").status).toBe(0);
    expect(readFileSync(empty, "utf8")).toBe("");
    const reasons = { "/no/such/dir/log": "no such file or directory", [box.dir]: "is a directory" };
    for (const [file, why] of Object.entries(reasons)) {
      const unwritable = hako("--root", box.root, "--log", file, "list");
      expect([unwritable.status, unwritable.stdout]).toEqual([1, ""]);
      expect(unwritable.stderr).toBe(`hako: open ${file}: ${why}\n`);
    }
  }, [needsHako]);

  e2e("a log that can't be written is told once, and the command does its work", () => {
    using box = new Box();
    const id = box.id();
    const bundle = box.bundle(["sleep", "600"]);
    const told = "hako: write log /dev/full: no space left on device\n";
    const logged = (...words: string[]) => box.hako("--log", "/dev/full", "--debug", ...words);
    expect(logged("run", "--detach", "--bundle", bundle, id)).toMatchObject({ status: 0, stderr: told });
    const ran = logged("exec", id, "sh", "-c", "echo ran; exit 3");
    expect(ran).toMatchObject({ status: 3, stdout: "ran\n", stderr: told });
    const failed = logged("state", "none");
    expect(failed.status).toBe(1);
    expect(failed.stderr).toStartWith(told);
    expect(failed.stderr.trim().split("\n")).toHaveLength(2);
    expect(logged("delete", "--force", id)).toMatchObject({ status: 0, stderr: told });
    expect(box.hako("state", id).status).toBe(1);
  }, [needsHako]);

  e2e("without executable memory nothing works, and the reason is told", () => {
    for (const words of [["state", "none"], ["list"], ["--log-format", "json", "list"], ["check"]]) {
      // with variables Bun is told to reserve less
      const line = 'ulimit -v 1500000 && exec env -i "$@"';
      const refused = execute("sh", ["-c", line, "sh", HAKO, ...words]);
      expect([words, refused.status, refused.stdout]).toEqual([words, 1, ""]);
      expect(refused.stderr).toMatch(
        /^(hako: |\{.*"msg":")libc can't be called: .*executable memory: MemoryDenyWriteExecute=.*\n$/,
      );
    }
  }, [needsHako]);

  e2e("half a GiB of address space is enough", () => {
    using box = new Box();
    const bundle = box.bundle(["sh", "-c", "ulimit -v"]);
    const line = 'ulimit -v 600000 && exec "$@"';
    const words = [HAKO, "--root", box.root, "run", "--bundle", bundle, box.id()];
    expect(execute("sh", ["-c", line, "sh", ...words])).toMatchObject({
      status: 0,
      stdout: "600000\n",
      stderr: "",
    });
  }, [needsHako]);

  e2e("--debug logs each step", () => {
    using box = new Box();
    const log = box.path("log");
    const bundle = box.bundle(["true"]);
    expect(
      hako("--debug", "--root", box.root, "--log", log, "run", "--bundle", bundle, box.id()).status,
    ).toBe(0);
    const lines = readFileSync(log, "utf8");
    for (const step of ["cgroups", "in its namespaces", "mounted", "entered", "started", "deleted"]) {
      expect(lines).toMatch(new RegExp(`level=debug msg=.*${step}`));
    }
    const waiting = box.id();
    const created = hako("--debug", "--root", box.root, "create", "--bundle", bundle, waiting);
    expect(created.stderr).toContain("waits for start");
    const started = hako("--debug", "--root", box.root, "start", waiting);
    expect(started.stderr).toBe(`hako: debug: ${waiting}: started\n`);
    expect(hako("--root", box.root, "run", "--bundle", bundle, box.id()).stderr).toBe("");
    // without a file too
    const { stderr } = hako("--debug", "--root", box.root, "run", "--bundle", bundle, box.id());
    for (const line of stderr.trimEnd().split("\n")) expect(line).toStartWith("hako: debug: ");
    expect(stderr).toContain(": started\n");
  }, [needsHako]);

  e2e("init is no command", () => {
    for (const words of [["init"], ["init", "1"], ["init", "99"], ["init", "x"]]) {
      expect({ words, status: hako(...words).status }).toEqual({ words, status: 2 });
    }
  }, [needsHako]);

  e2e("an ordinary user is told", () => {
    using box = new Box();
    const bundle = box.bundle(["true"]);
    const result = execute("setpriv", [
      "--reuid=65534",
      "--regid=65534",
      "--clear-groups",
      HAKO,
      "--root",
      "/tmp/hako-e2e-nobody",
      "run",
      "--bundle",
      bundle,
      box.id(),
    ]);
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(/rootless|permission denied/);
    expect(existsSync("/tmp/hako-e2e-nobody")).toBe(false);
  }, [needsHako, needsProgram("setpriv")]);
});
