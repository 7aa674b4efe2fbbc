// `run` of a bundle in the foreground: the small program that takes its place, what that attends, and what it removes at the end.
import { describe, expect } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { ContainerId } from "../../src/oci/id";
import { lockContainer } from "../../src/state/lock";
import type { BundleConfig } from "./bundle-config";
import {
  ATTENDED,
  Box,
  e2e,
  execute,
  expectUnchanged,
  HAKO,
  hostSnapshot,
  names,
  needsHako,
  needsProgram,
  PATIENCE_MS,
  SLEEP,
  until,
} from "./support";
import { onTerminal } from "./terminal";

const MOST_PRIVATE_KIB = 64;

/** A `hako run` that goes on. */
class Running {
  readonly child: ChildProcess;
  stdout = "";
  stderr = "";
  readonly ended: Promise<[number | null, string | null]>;

  constructor(box: Box, args: string[], env: Record<string, string> = {}) {
    this.child = spawn(HAKO, ["--root", box.root, "run", ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env.PATH ?? "", ...env },
    });
    this.child.stdout?.on("data", (data: Buffer) => {
      this.stdout += data.toString();
    });
    this.child.stderr?.on("data", (data: Buffer) => {
      this.stderr += data.toString();
    });
    this.ended = new Promise((done) => this.child.on("exit", (...end) => done(end)));
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Until the small program is in its place. */
  async attended(): Promise<void> {
    await until(
      "an attendant",
      () =>
        readlinkSync(`/proc/${this.pid}/exe`).includes("hako:attendant") &&
        readFileSync(`/proc/${this.pid}/comm`, "utf8") === "hako\n",
    );
  }

  async says(text: string): Promise<void> {
    await until(text, () => this.stdout.includes(text));
  }
}

function privateMemory(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return [...rollup.matchAll(/^Private_\w+:\s+(\d+) kB$/gm)].reduce((sum, [, size]) => sum + Number(size), 0);
}

/** A line of shell that prints the process of the attendant of the one run of a box, once there is one. */
function attendantsOf({ root }: Box): string {
  return `pgrep -f "hako --root ${root} run" | while read p; do readlink /proc/$p/exe | grep -q attendant && echo $p; done; true`;
}

const hostPids = (config: BundleConfig) => {
  config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== "pid");
};

describe("what run leaves in its place", () => {
  const filter = (config: BundleConfig) => {
    Object.assign(config.linux, {
      seccomp: { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["acct"], action: "SCMP_ACT_ERRNO" }] },
    });
  };
  const cases: [name: string, flags: (box: Box) => string[], mutate?: (config: BundleConfig) => void][] = [
    ["nothing more", () => []],
    ["--keep", () => ["--keep"]],
    ["a pid file", (box) => ["--pid-file", box.path("pid")]],
    ["a seccomp filter", () => [], filter],
    ["the host's processes", () => [], hostPids],
    [
      "poststop hooks",
      () => [],
      (config) => Object.assign(config, { hooks: { poststop: [{ path: "/bin/true" }] } }),
    ],
  ];
  for (const [name, flags, mutate] of cases) {
    e2e(`has some KiB, name and command line of hako: ${name}`, async () => {
      using box = new Box();
      const before = hostSnapshot(box.root);
      const id = box.id();
      const words = [...flags(box), "--bundle", box.bundle(SLEEP, mutate), id];
      const running = new Running(box, words);
      await running.attended();
      expect(privateMemory(running.pid)).toBeLessThanOrEqual(MOST_PRIVATE_KIB);
      expect(readFileSync(`/proc/${running.pid}/comm`, "utf8")).toBe("hako\n");
      const commandLine = readFileSync(`/proc/${running.pid}/cmdline`, "utf8").split("\0").slice(0, -1);
      expect(commandLine).toEqual([HAKO, "--root", box.root, "run", ...words]);
      expect(readFileSync(`/proc/${running.pid}/task/${running.pid}/children`, "utf8").trim()).toBe(
        String(box.state(id).pid),
      );
      box.ok("kill", id, "KILL");
      expect(await running.ended).toEqual([137, null]);
      if (name !== "--keep") await expectUnchanged(before, box.root);
      else expect(box.state(id).status).toBe("stopped");
    }, [needsHako]);
  }

  e2e("with a terminal too", () => {
    using box = new Box();
    const id = box.id();
    const bundle = box.bundle(["sh", "-c", "echo ready; read a"], (config) => {
      config.process.terminal = true;
    });
    const line = `${HAKO} --root ${box.root} run --bundle ${bundle} ${id} </dev/tty & ${ATTENDED}; cat /proc/$!/smaps_rollup | grep Private; readlink /proc/$!/exe; kill -KILL $(${HAKO} --root ${box.root} state ${id} | grep '"pid"' | tr -dc 0-9); wait $!; echo "status $?"`;
    const { shown } = onTerminal([{ wait: "status" }], ["bash", "-c", line]);
    expect(shown).toContain("hako:attendant");
    const sizes = [...shown.matchAll(/Private_\w+:\s+(\d+) kB/g)].map(([, size]) => Number(size));
    expect(sizes.length).toBeGreaterThan(0);
    expect(sizes.reduce((sum, size) => sum + size)).toBeLessThanOrEqual(MOST_PRIVATE_KIB);
    expect(shown).toContain("status 137");
    expect(names(box.root)).toEqual([]);
  }, [needsHako, needsProgram("python3")]);

  e2e("hako stays for what a table of system calls can't do", async () => {
    using box = new Box();
    for (const [before, flags] of [
      [[], ["--timeout", "1m"]],
      [["--debug"], []],
    ] as const) {
      const id = box.id();
      const child = spawn(
        HAKO,
        ["--root", box.root, ...before, "run", ...flags, "--bundle", box.bundle(SLEEP), id],
        {
          stdio: "ignore",
        },
      );
      const ended = new Promise((done) => child.on("close", done));
      await until("it runs", () => box.hako("state", id).stdout.includes('"running"'));
      await Bun.sleep(300);
      expect(readlinkSync(`/proc/${child.pid}/exe`)).toBe(HAKO);
      box.ok("kill", id, "KILL");
      expect(await ended).toBe(137);
    }
    expect(names(box.root)).toEqual([]);
  }, [needsHako]);
});

describe("the end of a run", () => {
  e2e("exit statuses @v2", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    for (const status of [0, 1, 42, 127, 255])
      expect(box.run(["sh", "-c", `exit ${status}`]).status).toBe(status);
    expect(box.run(["sh", "-c", "kill -9 $$"], hostPids).status).toBe(137);
    expect(box.run(["sh", "-c", "kill -SEGV $$"], hostPids).status).toBe(139);
    await expectUnchanged(before, box.root);
  });

  e2e("ends what is left in its cgroups where there is no pid namespace @v2", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const { status, stdout } = box.run(
      ["sh", "-c", "(sleep 600 &); (setsid sleep 600 &); echo done; exit 3"],
      hostPids,
    );
    expect([status, stdout]).toEqual([3, "done\n"]);
    await expectUnchanged(before, box.root);
  });

  e2e("children that are left to it are reaped", async () => {
    using box = new Box();
    const line = "(sh -c 'sh -c \"exit 5\" &' &); (sh -c 'sleep 0.2 &' &); sleep 1; echo looked; sleep 600";
    const id = box.id();
    const running = new Running(box, ["--bundle", box.bundle(["sh", "-c", line], hostPids), id]);
    await running.says("looked");
    const children = () => readFileSync(`/proc/${running.pid}/task/${running.pid}/children`, "utf8").trim();
    await until("it has no other child", () => children() === String(box.state(id).pid));
    box.ok("kill", id, "KILL");
    expect((await running.ended)[0]).toBe(137);
  });

  e2e("cgroups that were made below its own go too @v2", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const id = box.id();
    const running = new Running(box, ["--bundle", box.bundle(SLEEP), id]);
    await running.attended();
    const record = JSON.parse(readFileSync(`${box.root}/${id}/state.json`, "utf8"));
    for (const { mountpoint, path } of record.cgroup.nodes)
      mkdirSync(`${mountpoint}${path}/below/deeper`, { recursive: true });
    writeFileSync(`${box.root}/${id}/something`, "");
    box.ok("kill", id, "KILL");
    expect(await running.ended).toEqual([137, null]);
    expect(running.stderr).toBe("");
    await expectUnchanged(before, box.root);
  }, [needsHako]);

  e2e("poststop hooks, in the caller's environment", async () => {
    using box = new Box();
    const id = box.id();
    const file = box.path("told");
    const bundle = box.bundle(["sh", "-c", "exit 6"], (config) => {
      config.hooks = { poststop: [{ path: "/bin/sh", args: ["sh", "-c", `(cat; echo; env) > ${file}`] }] };
    });
    const running = new Running(box, ["--bundle", bundle, id], { MINE: "1" });
    expect(await running.ended).toEqual([6, null]);
    const told = readFileSync(file, "utf8");
    expect(told).toContain('"status":"stopped"');
    expect(told).toContain("MINE=1\n");
    expect(told).not.toContain("HAKO_");
    expect(names(box.root)).toEqual([]);
  }, [needsHako]);

  e2e("signals don't end what hako has to do after it", async () => {
    using box = new Box();
    const bundle = box.bundle(["sh", "-c", "exit 6"], (config) => {
      config.hooks = {
        poststop: [
          {
            path: "/bin/sh",
            args: ["sh", "-c", `touch ${box.path("began")}; sleep 1; touch ${box.path("done")}`],
          },
        ],
      };
    });
    const before = hostSnapshot(box.root);
    const running = new Running(box, ["--bundle", bundle, box.id()]);
    await until("its hook", () => existsSync(box.path("began")));
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.kill(running.pid, signal);
    expect(await running.ended).toEqual([6, null]);
    expect(existsSync(box.path("done"))).toBe(true);
    await expectUnchanged(before, box.root);
  }, [needsHako]);

  e2e("a variable of the caller's is none of hako's", async () => {
    using box = new Box();
    for (const value of ["1", `${process.pid}.1.aac`, "1.1.aac"]) {
      const running = new Running(box, ["--bundle", box.bundle(["sh", "-c", "echo ran; exit 4"]), box.id()], {
        HAKO_AGAIN_RUN: value,
      });
      expect(await running.ended).toEqual([4, null]);
      await running.says("ran\n");
    }
    // the number of the process that reads it
    const bundle = box.bundle(["sh", "-c", "exit 4"], (config) => {
      config.hooks = { poststop: [{ path: "/bin/true" }] };
    });
    const line = `exec env HAKO_AGAIN_RUN=1.1.aac ${HAKO} --root ${box.root} run --bundle ${bundle} ${box.id()}`;
    expect(execute("sh", ["-c", line]).status).toBe(4);
    expect(names(box.root)).toEqual([]);
  }, [needsHako]);

  e2e("another command deletes it meanwhile, and makes another one by its id", async () => {
    using box = new Box();
    const id = box.id();
    const before = hostSnapshot(box.root);
    const running = new Running(box, ["--bundle", box.bundle(SLEEP), id]);
    await running.attended();
    box.ok("delete", "--force", id);
    expect(await running.ended).toEqual([137, null]);
    await expectUnchanged(before, box.root);
    const other = new Running(box, ["--bundle", box.bundle(SLEEP), id]);
    await other.attended();
    // as long as it is stopped it does not see its program's end
    process.kill(other.pid, "SIGSTOP");
    box.ok("kill", id, "KILL");
    await until("it has ended", () => box.state(id).status === "stopped");
    box.ok("delete", "--force", id);
    box.ok("create", "--bundle", box.bundle(SLEEP), id);
    process.kill(other.pid, "SIGCONT");
    expect(await other.ended).toEqual([137, null]);
    expect(box.state(id).status).toBe("created");
  }, [needsHako]);

  e2e("another command holds it for a while", async () => {
    using box = new Box();
    const id = box.id();
    const before = hostSnapshot(box.root);
    const running = new Running(box, ["--bundle", box.bundle(SLEEP), id]);
    await running.attended();
    const lock = lockContainer(box.root, id as ContainerId);
    box.ok("kill", id, "KILL");
    await Bun.sleep(500);
    expect(names(box.root)).toContain(id);
    lock?.close();
    expect(await running.ended).toEqual([137, null]);
    await expectUnchanged(before, box.root);
  }, [needsHako]);

  e2e("an attendant that is killed leaves what delete --force removes @v2", async () => {
    using box = new Box();
    const id = box.id();
    const before = hostSnapshot(box.root);
    const running = new Running(box, ["--bundle", box.bundle(SLEEP), id]);
    await running.attended();
    process.kill(running.pid, "SIGKILL");
    expect(await running.ended).toEqual([null, "SIGKILL"]);
    expect(box.state(id).status).toBe("running");
    expect(box.hako("delete", id).status).toBe(1);
    box.ok("delete", "--force", id);
    await expectUnchanged(before, box.root);
  });
});

describe("signals of a run", () => {
  e2e("go to the program, also those that come before it runs", async () => {
    using box = new Box();
    const line =
      'for s in HUP INT QUIT USR1 USR2 ALRM TERM; do trap "echo got $s" $s; done; echo ready; while :; do sleep 0.05; done';
    const began = box.path("began");
    const slow = (config: BundleConfig) => {
      config.hooks = {
        createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", `touch ${began}; sleep 1`] }],
      };
    };
    const id = box.id();
    const running = new Running(box, ["--bundle", box.bundle(["sh", "-c", line]), id]);
    await running.says("ready");
    await running.attended();
    for (const signal of ["HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "TERM"] as const) {
      process.kill(running.pid, `SIG${signal}`);
      await running.says(`got ${signal}`);
    }
    box.ok("kill", id, "KILL");
    expect((await running.ended)[0]).toBe(137);
    // a hook of its creation takes a while: nothing is lost, and nothing ends it
    const early = new Running(box, ["--bundle", box.bundle(["sh", "-c", `${line}`], slow), box.id()]);
    await until("its hook", () => existsSync(began));
    process.kill(early.pid, "SIGTERM");
    process.kill(early.pid, "SIGINT");
    await early.attended();
    await Bun.sleep(300);
    expect(early.child.exitCode).toBe(null);
    early.child.kill("SIGKILL");
    await early.ended;
  }, [needsHako]);

  e2e("none is lost while the small program takes hako's place", async () => {
    using box = new Box();
    // it counts what it gets, and says so at the end
    const line =
      'n=0; trap "n=\\$((n+1))" USR1; trap "echo counted \\$n; exit" TERM; echo ready; while :; do sleep 0.01; done';
    for (let round = 0; round < 5; round++) {
      const running = new Running(box, ["--bundle", box.bundle(["sh", "-c", line]), box.id()]);
      await until("it runs", () => names(box.root).some((id) => existsSync(`${box.root}/${id}/state.json`)));
      let sent = 0;
      let attended = false;
      for (const end = Date.now() + PATIENCE_MS; Date.now() < end && !attended; await Bun.sleep(20)) {
        attended = readlinkSync(`/proc/${running.pid}/exe`).includes("hako:attendant");
        process.kill(running.pid, "SIGUSR1");
        sent++;
      }
      await running.says("ready");
      expect([attended, running.child.exitCode, running.child.signalCode]).toEqual([true, null, null]);
      expect(sent).toBeGreaterThan(0);
      process.kill(running.pid, "SIGTERM");
      expect(await running.ended).toEqual([0, null]);
      await running.says("counted");
    }
    expect(names(box.root)).toEqual([]);
  }, [needsHako]);
});

describe("a terminal of a run", () => {
  const terminal = (config: BundleConfig) => {
    config.process.terminal = true;
  };

  e2e("signals are passed on while nobody reads what it shows", async () => {
    using box = new Box();
    const id = box.id();
    const bundle = box.bundle(
      ["sh", "-c", 'trap "exit 9" TERM; : > /ready; yes & while :; do sleep 0.1; done'],
      terminal,
    );
    const over = box.path("over");
    const line = `("$@" </dev/null; echo "status $?" >&2) | (until [ -e ${over} ]; do sleep 0.1; done; cat >/dev/null)`;
    const call = [HAKO, "--root", box.root, "run", "--bundle", bundle, id];
    const shell = spawn("bash", ["-c", line, "bash", ...call], { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    shell.stderr.on("data", (data: Buffer) => {
      said += data.toString();
    });
    const ended = new Promise((done) => shell.on("close", done));
    await until("it writes", () => existsSync(join(bundle, "rootfs/ready")));
    // what it writes has filled all that is between it and its reader
    await Bun.sleep(500);
    let pid = 0;
    await until("an attendant", () => {
      pid = Number(execute("sh", ["-c", attendantsOf(box)]).stdout);
      return pid > 0;
    });
    process.kill(pid, "SIGTERM");
    await until("its end", () => !box.hako("state", id).stdout.includes('"running"'));
    writeFileSync(over, "");
    await ended;
    expect(said).toContain("status 9");
  }, [needsHako, needsProgram("pgrep")]);

  e2e("the end of its input comes to a program that writes all the time", () => {
    using box = new Box();
    const bundle = box.bundle(["sh", "-c", "yes & cat; kill $!; wait; echo; echo over"], terminal);
    const call = `${HAKO} --root ${box.root} run --bundle ${bundle} ${box.id()} </dev/null | tail -c 100`;
    const { stdout } = execute("sh", ["-c", call]);
    expect(stdout).toContain("over");
  }, [needsHako]);

  e2e("all that it wrote is there, however much, whoever reads it", () => {
    using box = new Box();
    const bundle = box.bundle(["sh", "-c", "yes 0123456789 | head -n 50000; echo end"], terminal);
    const run = `${HAKO} --root ${box.root} run --bundle ${bundle} ${box.id()} </dev/null`;
    const size = 50000 * 11 + 4;
    for (const line of [
      `${run} | cat`,
      `${run} > ${box.path("out")}; cat ${box.path("out")}`,
      `${run} | (sleep 1; cat)`,
    ]) {
      const { stdout } = execute("sh", ["-c", line]);
      expect(stdout.length).toBe(size);
      expect(stdout.endsWith("9\nend\n")).toBe(true);
    }
  }, [needsHako]);

  e2e("what can't be written is told, and nothing is left", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const full = openSync("/dev/full", "w");
    const { status, stderr } = (() => {
      const child = Bun.spawnSync(
        [
          HAKO,
          "--root",
          box.root,
          "run",
          "--bundle",
          box.bundle(["sh", "-c", "echo a; sleep 600"], terminal),
          box.id(),
        ],
        {
          stdin: "ignore",
          stdout: full,
          stderr: "pipe",
        },
      );
      return { status: child.exitCode, stderr: child.stderr.toString() };
    })();
    closeSync(full);
    expect([status, stderr]).toEqual([1, "hako: write standard output: no space left on device\n"]);
    await expectUnchanged(before, box.root);
  }, [needsHako]);

  e2e("the caller's terminal is as before, whatever ends the run", () => {
    using box = new Box();
    const bundle = box.bundle(["sh", "-c", "echo ready; sleep 600"], terminal);
    for (const signal of ["XCPU", "VTALRM", "RTMIN"]) {
      const id = box.id();
      const line = `before=$(stty -g); ${HAKO} --root ${box.root} run --bundle ${bundle} ${id}; echo "status $?"; [ "$before" = "$(stty -g)" ] && echo same`;
      const ender = `(until pid=$(${attendantsOf(box)}) && [ "$pid" ]; do sleep 0.1; done; sleep 0.5; kill -${signal} $pid) >/dev/null 2>&1 &`;
      const { shown } = onTerminal(
        [{ wait: "status" }, { wait: "same" }],
        ["bash", "-c", `${ender} ${line}`],
      );
      expect(shown).toContain("same\r\n");
      expect(shown).toMatch(/status 1[0-9][0-9]/);
      box.ok("delete", "--force", id);
    }
  }, [needsHako, needsProgram("python3"), needsProgram("pgrep")]);

  e2e("a job in the background leaves the terminal to the others", () => {
    using box = new Box();
    const bundle = box.bundle(
      ["sh", "-c", 'echo ready; read a; echo "got $a"; read b; echo "got $b"'],
      terminal,
    );
    const line = `set -m; before=$(stty -g); ${HAKO} --root ${box.root} run --bundle ${bundle} ${box.id()} & ${ATTENDED}; [ "$before" = "$(stty -g)" ] && echo untouched; fg; echo "status $?"; [ "$before" = "$(stty -g)" ] && echo same`;
    const { shown } = onTerminal(
      [{ line: "untouched" }, { type: "one\n" }, { line: "got one" }, { type: "two\r" }, { wait: "status" }],
      ["bash", "-c", line],
    );
    expect(shown).toContain("untouched\r\n");
    expect(shown).toContain("got one\r\n");
    expect(shown).toContain("got two\r\n");
    expect(shown).toContain("status 0\r\n");
    expect(shown).toContain("same\r\n");
    expect(names(box.root)).toEqual([]);
  }, [needsHako, needsProgram("python3")]);

  e2e("one that was stopped and goes on has its terminal raw again", () => {
    using box = new Box();
    const bundle = box.bundle(
      ["sh", "-c", 'trap "echo got INT" INT; : > /ready; while :; do read a && exit 3; done'],
      terminal,
    );
    const call = `${HAKO} --root ${box.root} run --bundle ${bundle} ${box.id()}`;
    const stop = `(until [ -e ${bundle}/rootfs/ready ] && pid=$(${attendantsOf(box)}) && [ "$pid" ]; do sleep 0.1; done; sleep 0.5; kill -STOP $pid) >/dev/null 2>&1 &`;
    const line = `set -m; ${stop} ${call}; echo stopped; stty sane; fg; echo "status $?"`;
    const { shown } = onTerminal(
      [
        { wait: "stopped" },
        { wait: `run --bundle` },
        // the shell names the job before it is in the foreground: until then INT is the shell's
        { raw: true },
        { type: "\u0003" },
        { wait: "got INT" },
        { type: "x\r" },
        { wait: "status" },
      ],
      ["bash", "-c", line],
    );
    expect(shown).toContain("got INT");
    expect(shown).toContain("status 3\r\n");
  }, [needsHako, needsProgram("python3"), needsProgram("pgrep")]);
});
