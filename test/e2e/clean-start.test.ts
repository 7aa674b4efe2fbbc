// What the caller leaves to hako decides nothing in hako, and reaches those who shall have it: variables that Bun reads, signals
// that are ignored or blocked, a working directory that was deleted.
import { describe, expect } from "bun:test";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  Box,
  type BundleConfig,
  e2e,
  execute,
  HAKO,
  needsHako,
  needsProgram,
  type Result,
  SLEEP,
  until,
} from "./support";
import { onTerminal } from "./terminal";

const PATH = process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin";
const REMOVED_AS = { cwd: "/" };

describe("variables that Bun reads", () => {
  /** Each would leave `mark`, or say something else, if Bun saw it. */
  function variables(box: Box): Record<string, string>[] {
    const mark = box.path("mark");
    const preload = box.path("preload.ts");
    writeFileSync(preload, `require("node:fs").writeFileSync(${JSON.stringify(mark)}, "ran");`);
    return [
      { BUN_OPTIONS: `--preload=${preload}` },
      { BUN_BE_BUN: "1" },
      { BUN_INSPECT: `ws+unix://${mark}` },
      { BUN_INSPECT_PRELOAD: preload, BUN_INSPECT: `ws+unix://${mark}` },
      { BUN_INSPECT_CONNECT_TO: `ws+unix://${mark}` },
      { BUN_BYTECODE_ORDER_OUT: mark },
      { BUN_JSC_dumpOptions: "2" },
      { BUN_JSC_useJIT: "0", BUN_JSC_showDisassembly: "1" },
      { JSC_dumpOptions: "2" },
      { MIMALLOC_VERBOSE: "1", MIMALLOC_SHOW_STATS: "1" },
      { BUN_GARBAGE_COLLECTOR_LEVEL: "2", BUN_DESTRUCT_VM_ON_EXIT: "1" },
      { NODE_OPTIONS: `--require ${preload}`, NODE_PATH: box.dir },
      { BUN_RUNTIME_TRANSPILER_CACHE_PATH: mark, BUN_DEBUG: mark, BUN_TRACE: mark },
      { BUN_FEATURE_FLAG_DISABLE_MEMFD: "1", BUN_WATCHER_TRACE: mark },
    ];
  }

  e2e("change nothing of what a command does", () => {
    using box = new Box();
    const env = { PATH };
    const plain = box.hakoWith({ env }, "state", "none");
    const version = box.hakoWith({ env }, "--version");
    for (const more of variables(box)) {
      const [name] = Object.keys(more);
      const options = { env: { ...env, ...more } };
      expect([name, box.hakoWith(options, "state", "none")]).toEqual([name, plain]);
      expect([name, box.hakoWith(options, "--version")]).toEqual([name, version]);
      expect([name, existsSync(box.path("mark"))]).toEqual([name, false]);
    }
  }, [needsHako]);

  e2e("are handed on as they are to those who have the caller's environment", () => {
    using box = new Box();
    const env = { PATH, BUN_OPTIONS: "--preload=x", BUN_BE_BUN: "1", LD_BIND_NOW: "", A: "b=c" };
    const lines = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const ns = ["netns", "exec", "/proc/self/ns/net", "--", "/usr/bin/env"];
    expect(
      box
        .hakoWith({ env }, ...ns)
        .stdout.trim()
        .split("\n"),
    ).toEqual(lines);

    const names = Object.keys(env).flatMap((name) => ["-e", name]);
    const id = box.started();
    const inExec = box
      .hakoWith({ env }, "exec", ...names, id, "env")
      .stdout.trim()
      .split("\n");
    expect(inExec).toEqual(expect.arrayContaining(lines));
    const inRun = box.hakoWith({ env }, "run", "--rootfs", "/", ...names, box.id(), "--", "/usr/bin/env");
    expect(inRun.stdout.trim().split("\n")).toEqual(expect.arrayContaining(lines));
    expect(`${inExec}${inRun.stdout}`).not.toContain("HAKO_");

    const file = box.path("of-hook");
    const bundle = box.bundle(["true"], (config) => {
      const hook = { path: "/bin/sh", args: ["sh", "-c", `/usr/bin/env > ${file}`] };
      config.hooks = { createRuntime: [hook] };
    });
    expect(box.hakoWith({ env }, "run", "--bundle", bundle, box.id()).status).toBe(0);
    const ofHook = readFileSync(file, "utf8").trim().split("\n");
    const own = /^(PWD|OLDPWD|SHLVL|_)=/;
    expect(ofHook.filter((line) => !own.test(line)).sort()).toEqual([...lines].sort());
  }, [needsHako]);
});

describe("signals that the caller ignores or blocks", () => {
  /** A command line that is called with signals so. */
  function withSignals(how: string, command: readonly string[]): string[] {
    return [process.execPath, join(import.meta.dir, "fixtures/with-signals.ts"), how, ...command];
  }
  const HOW = ["ignored", "blocked", "ignored,blocked"];
  /** No shell shows it: some ignore signals themselves. */
  const SHOW = ["grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"];
  /** The same lines of all. */
  const shown = (status: string) => (status.match(/^Sig(Blk|Ign):.*\n/gm) ?? []).join("");
  const NONE = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n";

  function call(how: string, command: readonly string[]): Result {
    const [program = "", ...args] = withSignals(how, command);
    return execute(program, args);
  }

  e2e("the fixture does so", () => {
    const { stdout } = call("ignored,blocked", ["/bin/busybox", ...SHOW]);
    expect(stdout).toBe("SigBlk:\tfffffffffffbfeff\nSigIgn:\tfffffffffffbfeff\n");
  });

  const KINDS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

  function withHooks(shared: string, config: BundleConfig): void {
    config.mounts.push({ destination: "/shared", type: "bind", source: shared, options: ["bind", "rw"] });
    config.hooks = Object.fromEntries(
      KINDS.map((kind) => {
        const file = kind === "startContainer" ? `/shared/${kind}` : `${shared}/${kind}`;
        return [kind, [{ path: "/bin/dd", args: ["dd", "if=/proc/self/status", `of=${file}`], env: [] }]];
      }),
    );
  }

  for (const how of HOW) {
    e2e(`are as by default in containers, and in hooks: ${how}`, async () => {
      using box = new Box();
      const hako = (...words: string[]) => call(how, [HAKO, "--root", box.root, ...words]);
      const shared = box.path("shared");
      mkdirSync(shared);
      const copy = ["dd", "if=/proc/self/status", "of=/shared/program"];
      const bundle = box.bundle(copy, (config) => withHooks(shared, config));
      const id = box.id();
      expect(hako("create", "--bundle", bundle, id)).toMatchObject({ status: 0 });
      expect(hako("start", id)).toMatchObject({ status: 0, stderr: "" });
      await box.waitFor(id, "stopped");
      expect(hako("delete", id)).toMatchObject({ status: 0, stderr: "" });
      for (const name of ["program", ...KINDS])
        expect([name, shown(readFileSync(join(shared, name), "utf8"))]).toEqual([name, NONE]);

      expect(hako("run", "--bundle", box.bundle([...SHOW]), box.id()).stdout).toBe(NONE);
      const running = box.started();
      expect(hako("exec", running, ...SHOW).stdout).toBe(NONE);
      // hako stays beside the program
      const pidFile = box.path("pid");
      expect(hako("exec", "--pid-file", pidFile, running, ...SHOW).stdout).toBe(NONE);
      const detached = join(box.state(running).bundle, "rootfs/detached");
      expect(hako("exec", "--detach", running, "dd", "if=/proc/self/status", "of=/detached").status).toBe(0);
      const written = () => (existsSync(detached) ? shown(readFileSync(detached, "utf8")) : "");
      await until("the detached program has written", () => written().includes("SigIgn"));
      expect(written()).toBe(NONE);
    });

    e2e(`are as by default on a terminal: ${how}`, () => {
      using box = new Box();
      const running = box.started();
      const command = [HAKO, "--root", box.root, "exec", "--tty", running, ...SHOW];
      const { shown: text } = onTerminal([], withSignals(how, command));
      expect(text.replaceAll("\r", "")).toBe(NONE);
    }, [needsProgram("python3")]);
  }

  e2e("are passed on by a command in the foreground all the same", async () => {
    using box = new Box();
    const running = box.started();
    const program = ["sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done"];
    const commands = [
      ["run", "--bundle", box.bundle(program), box.id()],
      ["exec", running, ...program],
      ["exec", "--pid-file", box.path("pid"), running, ...program],
    ];
    for (const words of commands) {
      const [command = "", ...args] = withSignals("ignored,blocked", [HAKO, "--root", box.root, ...words]);
      const child = spawn(command, args, { stdio: ["ignore", "pipe", "ignore"] });
      const ended = new Promise((resolve) => child.on("exit", (status, signal) => resolve([status, signal])));
      await new Promise((resolve) => child.stdout.once("data", resolve));
      child.kill("SIGTERM");
      expect([words[0], await ended]).toEqual([words[0], [7, null]]);
    }
  });

  e2e("are handed on by netns exec, as by nsenter and ip netns exec", () => {
    using box = new Box();
    const command = ["/bin/busybox", ...SHOW];
    const all = "fffffffffffbfeff";
    const none = "0000000000000000";
    for (const [how, blocked, ignored] of [
      ["ignored", none, all],
      ["blocked", all, none],
      ["ignored,blocked", all, all],
      ["", none, none],
    ] as const) {
      const words = [HAKO, "--root", box.root, "netns", "exec", "/proc/self/ns/net", "--", ...command];
      expect(call(how, words).stdout).toBe(`SigBlk:\t${blocked}\nSigIgn:\t${ignored}\n`);
    }
  }, [needsHako]);
});

describe("a working directory that was deleted", () => {
  /** Runs hako in such a one. */
  function deleted(box: Box, words: readonly string[], directory = box.path("gone")): Result {
    mkdirSync(directory, { recursive: true });
    const line = `cd "$0" && rm -r "$0" && exec "$@"`;
    return execute("sh", ["-c", line, directory, HAKO, "--root", box.root, ...words], REMOVED_AS);
  }

  e2e("does not keep commands from their work", async () => {
    using box = new Box();
    const id = box.id();
    const bundle = box.bundle(SLEEP);
    expect(deleted(box, ["create", "--bundle", bundle, id])).toMatchObject({ status: 0, stderr: "" });
    expect(deleted(box, ["start", id])).toMatchObject({ status: 0, stderr: "" });
    expect(deleted(box, ["exec", id, "echo", "hello"])).toMatchObject({ status: 0, stdout: "hello\n" });
    expect(deleted(box, ["list", "-q"])).toMatchObject({ status: 0, stdout: `${id}\n` });
    // a client whose directory is the bundle
    expect(deleted(box, ["kill", id, "KILL"], bundle)).toMatchObject({ status: 0, stderr: "" });
    await box.waitFor(id, "stopped");
    expect(deleted(box, ["delete", id], bundle)).toMatchObject({ status: 0, stderr: "" });
    expect(readdirSync(box.root)).not.toContain(id);
  });

  e2e("is no place for what is named relative to it", () => {
    using box = new Box();
    const other = box.bundle(["true"]);
    const rows: [string[], string][] = [
      [["create", box.id()], "the working directory was deleted"],
      [["create", "--bundle", "b", box.id()], "the working directory was deleted"],
      [["run", "--rootfs", "root", box.id(), "--", "true"], "no such file or directory"],
      [["run", "--rootfs", "/", box.id(), "--", "true"], "the working directory was deleted"],
      [["run", "--bundle", other, "--pid-file", "pid", box.id()], "pid: no such file or directory"],
    ];
    for (const [words, why] of rows) {
      const { status, stderr } = deleted(box, words);
      expect([words, status === 0, stderr]).toEqual([words, false, expect.stringContaining(why)]);
      expect(stderr.trim().split("\n")).toHaveLength(1);
    }
    expect(existsSync("/pid")).toBe(false);
    rmSync(other, { recursive: true });
  }, [needsHako]);

  e2e("or unmounted does as little", () => {
    using box = new Box();
    const directory = box.path("mounted");
    mkdirSync(directory);
    const line = `mount -t tmpfs x "$0" && cd "$0" && umount -l "$0" && "$1" list -q && exec "$@"`;
    const call = [directory, HAKO, "create", "--bundle", "b", box.id()];
    const { status, stderr } = execute("unshare", ["--mount", "sh", "-c", line, ...call]);
    expect([status, stderr]).toEqual([1, expect.stringContaining("the working directory was unmounted")]);
  }, [needsHako]);

  e2e("reaches neither the program nor a closed stream of it", () => {
    using box = new Box();
    const line = "ls -l /proc/self/fd";
    mkdirSync(box.path("gone"));
    const call = [HAKO, "--root", box.root, "run", "--bundle", box.bundle(["sh", "-c", line]), box.id()];
    const shell = `cd "$0" && rmdir "$0" && exec "$@" <&-`;
    const { status, stdout } = execute("sh", ["-c", shell, box.path("gone"), ...call]);
    expect(status).toBe(0);
    expect(stdout).not.toContain("gone");
    expect(stdout).toMatch(/ 0 -> \/dev\/null\n/);
  });
});
