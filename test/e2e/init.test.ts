// The first process of `run --rootfs` is hako's own: the command ends, is interrupted and is stopped as it is outside of a container.
import { describe, expect } from "bun:test";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { Home, NEEDS, USER } from "./rootless-home";
import {
  ATTENDED,
  Box,
  busyboxRootfs,
  e2e,
  execute,
  executeLater,
  HAKO,
  names,
  needsHako,
  needsProgram,
  PATIENCE_MS,
  until,
  untilOpen,
} from "./support";

const needsPython = needsProgram("python3");
const needsBash = needsProgram("bash");
const needsTmux = needsProgram("tmux");

/** Commands that end in different ways. */
const ENDS: [command: string[], needs?: string | undefined][] = [
  [["sh", "-c", "exit 7"]],
  ...["TERM", "INT", "QUIT", "HUP", "SEGV", "KILL", "USR1", "ALRM", "PIPE", "ABRT", "XCPU"].map(
    (name) => [["sh", "-c", `kill -${name} $$; echo survived`]] as [string[]],
  ),
  [["sh", "-c", "trap 'echo trapped' TERM; kill -TERM $$; exit 3"]],
  [["sh", "-c", "kill -WINCH $$; kill -URG $$; exit 4"]],
  [["python3", "-c", "import os; os.abort()"], needsPython],
  [["bash", "-c", "yes | head -1; echo $PIPESTATUS"], needsBash],
  [["bash", "-c", "(sleep 0.1; kill -INT $$) & sleep 0.3; echo not interrupted"], needsBash],
  [["/etc/passwd"]],
  [["/no/such/program"]],
];

/** A shell's word for how it ended, and what it wrote. */
function ended(words: string[], command: string[]) {
  const { status, stdout } = execute("sh", ["-c", '"$@"; exit $?', "sh", ...words, ...command]);
  return { command, status, stdout };
}

/** A shell's word for how a command ended that got a signal once it had written "begin", and what it wrote. */
async function endedBy(signal: "SIGINT", command: readonly string[]) {
  const [program = "", ...words] = command;
  const child = spawn(program, words, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "close");
  let stdout = "";
  child.stdout.on("data", (data: Buffer) => {
    stdout += data.toString();
  });
  await until("it has begun", () => stdout.includes("begin"));
  child.kill(signal);
  const [status, by] = await ended;
  return { status: by === null ? status : 128 + constants.signals[by as "SIGINT"], stdout };
}

/** A script that waits, as a file. */
function waitingScript(box: Box, shell: string): string {
  const file = box.path("script");
  writeFileSync(file, `#!${shell}\necho begin\nsleep 60\necho after\nsleep 60\n`);
  chmodSync(file, 0o755);
  return file;
}

describe("a command of run --rootfs ends as outside", () => {
  const table = ENDS.filter(([, needs]) => needs === undefined).map(([command]) => command);
  for (const flags of [[], ["--memory", "64M"], ["--seccomp", "off"], ["--user", "nobody"]]) {
    e2e(`with the same status and output: ${flags.join(" ")}`, () => {
      using box = new Box();
      const run = [HAKO, "--root", box.root, "run", "--rootfs", "/", ...flags, "--"];
      // that python may be in a directory which nobody else may enter
      const all = flags.includes("nobody") ? table.filter(([name]) => name !== "python3") : table;
      for (const command of all) expect(ended(run, command)).toEqual(ended([], command));
      expect(names(box.root)).toEqual([]);
    }, [needsHako]);
  }

  e2e("and report, wait, state and list tell the signal @v2", async () => {
    using box = new Box();
    const root = box.path("root");
    busyboxRootfs(root);
    const rows = [
      { end: "exit 143", exitCode: 143, signal: null },
      { end: "kill -TERM $$", exitCode: 143, signal: "SIGTERM" },
      { end: "kill -SEGV $$", exitCode: 139, signal: "SIGSEGV" },
      { end: "kill -KILL $$", exitCode: 137, signal: "SIGKILL" },
    ];
    const report = box.path("report");
    for (const { end, ...told } of rows) {
      const command = ["--rootfs", root, "--", "sh", "-c", end];
      expect(box.hako("run", "--report", report, ...command).status).toBe(told.exitCode);
      expect(JSON.parse(readFileSync(report, "utf8"))).toMatchObject(told);
      const [kept, behind, beside] = [box.id(), box.id(), box.id()];
      expect(box.hako("run", "--keep", "--name", kept, ...command).status).toBe(told.exitCode);
      box.ok("run", "--detach", "--name", behind, ...command);
      const waited = JSON.parse(box.ok("wait", "--json", behind).stdout)[0];
      expect(waited).toMatchObject(told);
      expect(Math.abs(Date.parse(waited.finished) - Date.now())).toBeLessThan(60_000);
      for (const id of [kept, behind]) expect(box.state(id)).toMatchObject(told);
      const list = JSON.parse(box.ok("list", "--json").stdout);
      expect(list).toMatchObject([told, told]);
      // the container is gone when the other one looks
      const file = join(root, `end-${beside}`);
      const sleeping = `until [ -e /end-${beside} ]; do sleep 0.1; done; ${end}`;
      const running = executeLater(HAKO, [
        ...["--root", box.root, "run", "--name", beside, "--rootfs", root],
        ...["--", "sh", "-c", sleeping],
      ]);
      await until(`${beside} runs`, () => box.hako("state", beside).stdout.includes('"running"'));
      const waiting = Bun.spawn([HAKO, "--root", box.root, "wait", "--json", beside], { stdout: "pipe" });
      await untilOpen(waiting.pid, "[pidfd]");
      writeFileSync(file, "");
      expect((await running).status).toBe(told.exitCode);
      expect(JSON.parse(await new Response(waiting.stdout).text())[0]).toMatchObject(told);
      for (const id of [kept, behind]) box.ok("delete", id);
    }
  }, [needsHako]);

  e2e(
    "for an ordinary user too",
    () => {
      using home = new Home();
      const root = home.box.path("root");
      busyboxRootfs(root);
      execute("chown", ["-R", `${USER}:${USER}`, root]);
      for (const [end, status] of [
        ["exit 7", 7],
        ["kill -TERM $$; echo survived", 143],
        ["kill -ABRT $$", 134],
      ] as const) {
        expect(home.hako("run", "--rootfs", root, "--", "sh", "-c", end)).toMatchObject({
          status,
          stdout: "",
        });
      }
    },
    NEEDS,
  );
});

describe("signals to run --rootfs", () => {
  for (const shell of ["/bin/sh", "/bin/bash"]) {
    e2e(`INT ends a script of ${shell} that waits for a program, at once`, async () => {
      using box = new Box();
      const run = [HAKO, "--root", box.root, "run", "--rootfs", "/", "--", waitingScript(box, shell)];
      const began = performance.now();
      expect(await endedBy("SIGINT", run)).toEqual({ status: 130, stdout: "begin\n" });
      expect(performance.now() - began).toBeLessThan(PATIENCE_MS);
    }, [needsHako, needsBash]);
  }

  e2e("come once, and to the command alone if a terminal doesn't send them", () => {
    using box = new Box();
    const root = box.path("root");
    busyboxRootfs(root);
    const out = box.path("out");
    // its child is in the same process group
    const script = (name: string) =>
      `count() { echo $1 $2; }; (trap 'count child ${name}' ${name}; echo ready; for i in 1 2 3 4 5 6 7 8; do sleep 0.25; done) & trap 'count command ${name}' ${name}; echo ready; wait; wait; wait`;
    const heard = (name: string, signal: string) => {
      const line = `: > ${out}; ${HAKO} --root ${box.root} run --rootfs ${root} -- sh -c "$1" > ${out} & until [ "$(grep -c ready ${out})" = 2 ]; do sleep 0.1; done; kill -${signal} $!; wait; grep -v ready ${out} | sort`;
      return execute("sh", ["-c", line, "sh", script(name)])
        .stdout.trim()
        .split("\n");
    };
    for (const name of ["TERM", "HUP", "USR1"]) expect(heard(name, name)).toEqual([`command ${name}`]);
    for (const name of ["CONT", "WINCH"])
      expect(heard(name, name)).toEqual([`child ${name}`, `command ${name}`]);
  }, [needsHako]);

  e2e("reach a command that has become another user, without the capability to signal it", () => {
    using box = new Box();
    const rights = ["--cap-drop", "ALL", "--cap-add", "SETUID", "--cap-add", "SETGID"];
    const run = [HAKO, "--root", box.root, "run", "--rootfs", "/", ...rights, "--"];
    const command = ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", "sleep", "600"];
    const began = performance.now();
    expect(ended(["timeout", "--preserve-status", "1"], [...run, ...command]).status).toBe(143);
    expect(performance.now() - began).toBeLessThan(PATIENCE_MS);
  }, [needsHako, needsProgram("setpriv")]);

  e2e("hako kill --all sends one to each process, and STOP stops the command @v2", async () => {
    using box = new Box();
    const root = box.path("root");
    busyboxRootfs(root);
    const id = box.id();
    const script = "trap 'echo heard' TERM; echo ready; while :; do sleep 0.2; done";
    box.ok(
      "run",
      "--detach",
      "--output",
      box.path("log"),
      "--rootfs",
      root,
      "--name",
      id,
      "--",
      "sh",
      "-c",
      script,
    );
    const log = () => readFileSync(box.path("log"), "utf8");
    await until("it listens", () => log().includes("ready"));
    box.ok("kill", "--all", id, "TERM");
    await until("a trap", () => log().includes("heard"));
    await Bun.sleep(500);
    expect(log().match(/heard/g)).toEqual(["heard"]);
    const [, command = 0] = JSON.parse(box.ok("ps", "--json", id).stdout) as number[];
    const state = () => /^State:\t(.)/m.exec(readFileSync(`/proc/${command}/status`, "utf8"))?.[1];
    box.ok("kill", id, "STOP");
    await until("a stop", () => state() === "T");
    box.ok("kill", id, "CONT");
    await until("no stop", () => state() !== "T");
  }, [needsHako]);
});

describe("a job of a shell", () => {
  // an attendant, one that sees its parent's end too, and hako itself, which stays for more than a kill
  for (const flags of ["", " --die-with-parent", " --timeout 1h --grace 1s"])
    e2e(`Ctrl-C ends a script, Ctrl-Z stops, and fg goes on:${flags}`, async () => {
      using box = new Box();
      const tmux = (...words: string[]) => execute("tmux", ["-L", box.names, ...words]);
      const screen = () => tmux("capture-pane", "-p").stdout;
      const run = `${HAKO} --root ${box.root} run --rootfs /${flags} -- `;
      const type = async (keys: string[], wanted?: string) => {
        tmux("send-keys", ...keys);
        if (wanted !== undefined) await until(wanted, () => screen().includes(wanted));
      };
      tmux("-f", "/dev/null", "new-session", "-d", "-x", "200", "-y", "50", "PS1='ready> ' bash --norc");
      try {
        await until("a shell", () => screen().includes("ready>"));
        await type([`${run}${waitingScript(box, "/bin/bash")}; echo "ended: $?"`, "Enter"], "\nbegin");
        await type(["C-c"], "ended: 130");
        await type([`${run}sh -c 'echo here; sleep 3; echo over'`, "Enter"], "\nhere");
        await type(["C-z"], "Stopped");
        await type(['echo "stopped: $?"', "Enter"], "stopped: 148");
        await Bun.sleep(3500);
        expect(screen()).not.toContain("\nover");
        await type(['fg; echo "went on: $?"', "Enter"], "went on: 0");
        expect(screen()).toContain("\nover");
        // as outside: who doesn't stop keeps the terminal
        const deaf = `${run}sh -c 'trap "" TSTP; echo deaf; sleep 1; exit 6'; echo "not stopped: $?"`;
        await type([deaf, "Enter"], "\ndeaf");
        await type(["C-z"], "not stopped: 6");
      } finally {
        tmux("kill-server");
      }
    }, [needsHako, needsTmux, needsBash]);

  e2e("with a terminal of its own an interactive shell has its jobs there", () => {
    using box = new Box();
    const run = ["run", "--tty", "--rootfs", "/", "--", "bash", "--norc", "-ic"];
    const { status, stdout } = box.hako(...run, "ps -o pid=,sess=,tpgid= -p $$; sleep 0 & fg; exit 5");
    expect(status).toBe(5);
    expect(stdout).not.toContain("job control");
    expect(stdout).toMatch(/^\s*2\s+2\s+\d/);
  }, [needsHako, needsBash, needsProgram("ps")]);
});

describe("hako's first process", () => {
  const inside = (box: Box, flags: string[], script: string) =>
    box.hako("run", "--rootfs", "/", ...flags, "--", "sh", "-c", script);

  e2e("reaps orphans", () => {
    using box = new Box();
    const zombies = "n=$(cat /proc/[0-9]*/stat | grep -c ') Z ')";
    const script = `sh -c '(sleep 0.1 &)'; sleep 0.4; for i in $(seq 100); do ${zombies}; [ $n = 0 ] && break; sleep 0.1; done; echo $n`;
    expect(inside(box, [], script).stdout).toBe("0\n");
    expect(inside(box, ["--no-init"], "echo $$").stdout).toBe("1\n");
  }, [needsHako]);

  e2e("keeps nothing of the command's open, and is out of its reach", () => {
    using box = new Box();
    const look =
      "for file in environ maps mem root cwd exe; do head -c1 /proc/1/$file >/dev/null 2>&1 && echo $file; done; readlink /proc/1/fd/* /proc/1/cwd";
    expect(inside(box, [], look).stdout).toBe("");
    const status = "grep -E '^(CapPrm|CapInh|CapAmb|NoNewPrivs|Seccomp):' /proc/1/status | tr -d '\\t'";
    const kill = "0000000000000020";
    const none = "0000000000000000";
    expect(inside(box, ["--user", "nobody"], status).stdout).toBe(
      `CapInh:${none}\nCapPrm:${kill}\nCapAmb:${none}\nNoNewPrivs:1\nSeccomp:2\n`,
    );
    // the reader is at the end while the command goes on
    const late = box.path("late");
    const closes = `${HAKO} --root ${box.root} run --rootfs / -v ${box.dir}:${box.dir} -- sh -c 'echo out; exec >&-; sleep 2; echo > ${late}'`;
    const line = `${closes} > >(cat; test -e ${late} || echo early); wait`;
    expect(execute("bash", ["-c", line]).stdout).toBe("out\nearly\n");
  }, [needsHako]);

  e2e("taken over by a command with CAP_SYS_PTRACE it can do no more than it does", () => {
    using box = new Box();
    // its next system call is mkdir(2): the filter ends it, and all with it
    const attack = `
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 2 + [ctypes.c_void_p] * 2
regs = (ctypes.c_ulonglong * 27)()
ATTACH, GETREGS, SETREGS, CONT, RIP, ORIG_RAX, RAX = 16, 12, 13, 7, 16, 15, 10
assert libc.ptrace(ATTACH, 1, None, None) == 0, os.strerror(ctypes.get_errno())
os.waitpid(1, 0x40000000)
assert libc.ptrace(GETREGS, 1, None, ctypes.addressof(regs)) == 0
regs[RIP] -= 2
regs[RAX], regs[ORIG_RAX] = 83, 2**64 - 1
assert libc.ptrace(SETREGS, 1, None, ctypes.addressof(regs)) == 0
assert libc.ptrace(CONT, 1, None, None) == 0
os.waitpid(1, 0x40000000)
print("still here")`;
    const flags = ["--cap-add", "SYS_PTRACE", "--", "python3", "-c", attack];
    expect(box.hako("run", "--rootfs", "/", ...flags)).toMatchObject({ status: 159, stdout: "" });
  }, [needsHako, needsPython, process.arch === "x64" ? undefined : "registers of x86-64"]);

  e2e("is not counted by --pids, and its end is the end of all @v2", async () => {
    using box = new Box();
    const root = box.path("root");
    busyboxRootfs(root);
    expect(box.hako("run", "--rootfs", root, "--pids", "1", "--", "true").status).toBe(0);
    const limited = ["run", "--rootfs", root, "--pids", "1", "--", "sh", "-c", "sleep 0; echo forked"];
    expect(box.hako(...limited).stdout).toBe("");
    const id = box.id();
    const running = box.later(["run", "--rootfs", root, "--name", id, "--", "sleep", "600"]);
    await until("it runs", () => box.hako("ps", "--json", id).stdout.includes(","));
    execute("kill", ["-KILL", String(box.state(id).pid)]);
    expect((await running).status).toBe(137);
  }, [needsHako]);

  e2e("lets a run in the foreground hold some KiB", async () => {
    using box = new Box();
    for (const flags of ["", "--memory 64M", "--timeout 10m", `--report ${box.path("report")}`]) {
      const id = box.id();
      const line = `${HAKO} --root ${box.root} run --rootfs / --name ${id} ${flags} -- sleep 600 & ${ATTENDED}; cat /proc/$!/smaps_rollup; ${HAKO} --root ${box.root} kill ${id} TERM; wait $!; echo "status $?"`;
      const { stdout } = execute("sh", ["-c", line]);
      const sizes = [...stdout.matchAll(/^Private_\w+:\s+(\d+) kB/gm)].map(([, size]) => Number(size));
      expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(64);
      expect(stdout).toContain("status 143");
    }
    expect(JSON.parse(readFileSync(box.path("report"), "utf8"))).toMatchObject({ signal: "SIGTERM" });
  }, [needsHako]);
});
