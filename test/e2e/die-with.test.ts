// `hako run --die-with FD`: the container ends when the other end of a descriptor does; the same and `--report` of `hako exec`.
import { describe, expect } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readlinkSync } from "node:fs";
import type { Socket } from "node:net";
import { Box, e2e, HAKO, needsHako, needsProgram, until, untilOpen } from "./support";

/** A command with a socket as its descriptor 3, for the report and as lifeline. */
class Held {
  readonly process: ChildProcess;
  #report = "";

  constructor(words: readonly string[]) {
    const [file = "", ...args] = words;
    this.process = spawn(file, args, { stdio: ["ignore", "ignore", "ignore", "pipe"] });
    this.#socket.on("data", (data) => {
      this.#report += data;
    });
  }

  get #socket(): Socket {
    return this.process.stdio[3] as Socket;
  }

  letGo(): void {
    this.#socket.end();
  }

  async ended(): Promise<{ status: number | null; report: Record<string, unknown> }> {
    const [status] = await once(this.process, "close");
    return { status, report: JSON.parse(this.#report) };
  }
}

const RUN = ["run", "--rootfs", "/", "--report", "3", "--die-with", "3"];
const LONG = ["sh", "-c", "sleep 86397 & wait"];

function hold(box: Box, ...words: string[]): Held {
  return new Held([HAKO, "--root", box.root, ...words]);
}

/** Not there, to begin with. */
async function running(box: Box, id: string): Promise<void> {
  await until(`${id} runs`, () => /"running"/.test(box.hako("state", id).stdout));
}

async function gone(box: Box): Promise<void> {
  await until("no container is left", () => box.ok("list", "-q").stdout === "");
}

describe("run --die-with", () => {
  for (const [what, flags] of Object.entries({
    "an attendant": [],
    "an attendant with a time limit": ["--timeout", "1h"],
    "hako, for time to end": ["--timeout", "1h", "--grace", "10s"],
    "hako, for a terminal": ["--tty"],
    "hako, without a first process of its own": ["--no-init"],
  }))
    e2e(`the container ends when the descriptor's other end does, seen by ${what}`, async () => {
      using box = new Box();
      const id = box.id();
      const held = hold(box, ...RUN, ...flags, "--name", id, "--", ...LONG);
      await running(box, id);
      held.letGo();
      const { status, report } = await held.ended();
      expect(status).toBe(137);
      expect(report).toMatchObject({ exitCode: 137, signal: "SIGKILL", timedOut: false, hakoError: null });
      await gone(box);
    }, [needsHako]);

  e2e("a caller that is killed leaves nothing, whenever that is", async () => {
    using box = new Box();
    const program = `
      const { spawn } = require("node:child_process");
      spawn(process.argv[1], process.argv.slice(2), { stdio: ["ignore", "ignore", "ignore", "pipe"] });
      setInterval(() => {}, 1000);`;
    for (const wait of [0, 20, 60, undefined]) {
      const id = box.id();
      const caller = spawn(process.execPath, [
        ...["-e", program, HAKO, "--root", box.root],
        ...[...RUN, "--name", id, "--", ...LONG],
      ]);
      if (wait === undefined) await running(box, id);
      else {
        await until("it is being made", () => box.hako("list", "-q").stdout !== "");
        await Bun.sleep(wait);
      }
      caller.kill("SIGKILL");
      await gone(box);
    }
  }, [needsHako]);

  e2e("what waits is no hako, but some KiB; killed, it leaves no process", async () => {
    using box = new Box();
    const id = box.id();
    const held = hold(box, ...RUN, "--name", id, "--", ...LONG);
    await running(box, id);
    const { pid } = held.process;
    await until("an attendant has its place", () => readlinkSync(`/proc/${pid}/exe`).includes("attendant"));
    held.process.kill("SIGKILL");
    await box.waitFor(id, "stopped");
    box.ok("delete", id);
  }, [needsHako]);

  e2e("a program that ends by itself ends as without it, and doesn't see the descriptor", async () => {
    using box = new Box();
    const program = ["sh", "-c", "test ! -e /proc/self/fd/3 || exit 9; exit 3"];
    expect(await hold(box, ...RUN, "--", ...program).ended()).toMatchObject({
      status: 3,
      report: { exitCode: 3, signal: null, hakoError: null },
    });
  }, [needsHako]);

  e2e("a pidfd's process, and a pipe", async () => {
    using box = new Box();
    const program = `
import os, subprocess, sys
reader, writer = os.pipe()
sleep = subprocess.Popen(["sleep", "86396"])
fd = os.pidfd_open(sleep.pid) if sys.argv[1] == "pidfd" else reader
hako = subprocess.Popen(sys.argv[2:] + ["--die-with", str(fd), "--", "sleep", "86395"], pass_fds=[fd])
sys.stdin.readline()
sleep.kill(); sleep.wait(); os.close(writer)
sys.exit(hako.wait())`;
    for (const kind of ["pidfd", "pipe"]) {
      const id = box.id();
      const run = [HAKO, "--root", box.root, "run", "--rootfs", "/", "--name", id];
      const caller = spawn("python3", ["-c", program, kind, ...run], { stdio: ["pipe", "ignore", "ignore"] });
      await running(box, id);
      caller.stdin?.end();
      expect(await once(caller, "exit")).toEqual([137, null]);
      await gone(box);
    }
  }, [needsHako, needsProgram("python3")]);

  e2e("what has no end, or isn't there, is refused before anything runs", () => {
    using box = new Box();
    const told = (...words: string[]) => {
      const { status, stderr } = box.hako(...words);
      return `${status} ${stderr}`;
    };
    const run = (fd: string, ...flags: string[]) =>
      told("run", "--rootfs", "/", ...flags, "--die-with", fd, "--", "true");
    expect(run("77")).toContain("125 hako: --die-with 77: the descriptor is not open");
    expect(run("1")).toContain("125 hako: --die-with 1: the descriptor is");
    expect(run("")).toContain("2 hako: --die-with");
    expect(run("/dev/null")).toContain("it is not the number of a descriptor");
    expect(run("0", "-d")).toContain("2 hako: --die-with and --detach");
    expect(told("run", "--die-with", "0", "-b", "/", "x")).toContain("2 hako: --die-with needs --rootfs");
    expect(box.ok("list", "-q").stdout).toBe("");
  }, [needsHako]);
});

describe("wait and events", () => {
  e2e("don't wait on when the descriptor's other end is closed; without that they do", async () => {
    using box = new Box();
    const id = box.started(["sleep", "600"]);
    for (const words of [["wait"], ["events", "--interval", "1h"]]) {
      const held = hold(box, ...words, "--die-with", "3", id);
      await untilOpen(held.process.pid ?? 0, "[pidfd]");
      await Bun.sleep(300);
      expect(held.process.exitCode).toBe(null);
      held.letGo();
      expect(await once(held.process, "exit")).toEqual([141, null]);
    }
    const held = hold(box, "wait", "--die-with", "3", id);
    await untilOpen(held.process.pid ?? 0, "[pidfd]");
    box.ok("kill", id, "KILL");
    expect(await once(held.process, "exit")).toEqual([0, null]);
    expect(box.hako("wait", "--die-with", "77", id).stderr).toContain(
      "--die-with 77: the descriptor is not open",
    );
  }, [needsHako]);
});

describe("exec", () => {
  const EXEC = ["exec", "--report", "3", "--die-with", "3", "--quiet"];
  const script = (line: string) => ["sh", "-c", line];

  e2e("--report tells how it ended, or why hako has failed", async () => {
    using box = new Box();
    const id = box.started(["sleep", "600"]);
    const reported = (...words: string[]) => hold(box, ...EXEC, ...words).ended();
    const calm = { signal: null, timedOut: false, hakoError: null };
    expect(await reported(id, ...script("exit 4"))).toMatchObject({
      status: 4,
      report: { id, exitCode: 4, ...calm },
    });
    expect(await reported(id, ...script("test ! -e /proc/self/fd/3"))).toMatchObject({ status: 0 });
    expect(await reported(id, ...script("exit 255"))).toMatchObject({ report: { exitCode: 255, ...calm } });
    expect(await reported(id, ...script("kill -TERM $$"))).toMatchObject({
      status: 143,
      report: { exitCode: 143, signal: "SIGTERM" },
    });
    expect(await reported("--timeout", "200ms", id, "sleep", "600")).toMatchObject({
      status: 124,
      report: { exitCode: 137, signal: "SIGKILL", timedOut: true, hakoError: null },
    });
    expect(await reported(id, "no-such-program")).toMatchObject({
      status: 255,
      report: { id, exitCode: null, hakoError: { code: "command-not-found" } },
    });
    expect(await reported(box.id(), "true")).toMatchObject({
      status: 255,
      report: { exitCode: null, hakoError: { code: "not-found" } },
    });
  }, [needsHako]);

  e2e("--report tells that memory ran out meanwhile", async () => {
    using box = new Box();
    const id = box.started(["sleep", "600"], (config) => {
      config.linux = { ...config.linux, resources: { memory: { limit: 16 << 20 } } };
    });
    const greedy = ["exec", "--report", "3", id, "tail", "/dev/zero"];
    expect(await hold(box, ...greedy).ended()).toMatchObject({
      report: { signal: "SIGKILL", oomKilled: true },
    });
    expect(await hold(box, "exec", "--report", "3", id, "true").ended()).toMatchObject({
      report: { exitCode: 0, oomKilled: false },
    });
  }, [needsHako]);

  e2e("--die-with ends the command and what it has started; the container goes on", async () => {
    using box = new Box();
    const id = box.started(["sleep", "600"]);
    const held = hold(box, ...EXEC, id, ...script("sleep 600 & setsid sleep 600 & wait"));
    await until("the command runs", () => JSON.parse(box.ok("ps", "--json", id).stdout).length === 4);
    held.letGo();
    expect(await held.ended()).toMatchObject({ report: { signal: "SIGKILL" } });
    await until("it is alone", () => JSON.parse(box.ok("ps", "--json", id).stdout).length === 1);
    expect(box.state(id).status).toBe("running");
    expect(box.hako("exec", "-d", "--die-with", "0", id, "true").stderr).toContain("--die-with and --detach");
    expect(box.hako("exec", "-d", "--report", "x", id, "true").stderr).toContain("--report and --detach");
  }, [needsHako]);
});
