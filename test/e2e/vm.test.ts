// Containers in machines of their own: the driver "vm".
import { afterAll, expect } from "bun:test";
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { environment, hasEnded, leftIn, needsMachine, setUp, shared } from "./machines";
import {
  Box,
  e2e,
  execute,
  executeLater,
  HAKO,
  needsBusybox,
  needsHako,
  needsProgram,
  needsRoot,
  type Result,
  TIME_LIMIT,
  until,
} from "./support";
import { onTerminal } from "./terminal";

const needs = [needsMachine, needsBusybox];
const cache = shared.path("cache");
const env = environment(cache);
const box = new Box();
afterAll(() => box[Symbol.dispose]());

/** Machines boot in seconds. */
const LONG = 6 * TIME_LIMIT;

function hako(words: string[], input?: string): Result {
  return execute(HAKO, ["--root", box.root, ...words], { env, input, timeout: 2 * TIME_LIMIT });
}

/** Runs a command with the host's files in a machine. */
function run(command: string[], flags: string[] = [], input?: string): Result {
  return hako(["run", "--driver", "vm", "--rootfs", "/", ...flags, "--", ...command], input);
}

/** Runs a line of the host's shell; HAKO is the command with its state directory. */
function shell(line: string): Result {
  const command = `${HAKO} --root ${box.root}`;
  return execute("sh", ["-c", line], { env: { ...env, HAKO: command }, timeout: 2 * TIME_LIMIT });
}

interface MachineJson {
  /** Missing while it is being started. */
  qemu: { pid: number };
}

function machineFile(sandbox: string): string {
  return join(box.root, "@machines", sandbox, "machine.json");
}

function machineOf(sandbox: string): MachineJson {
  return JSON.parse(readFileSync(machineFile(sandbox), "utf8")) as MachineJson;
}

/** Processes of the host whose command lines have a word. */
function processesWith(word: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(word);
    } catch {
      return false;
    }
  });
}

function leavesNothing(): void {
  expect(leftIn(box.root)).toEqual([]);
  expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(box.dir);
}

e2e(
  "a program runs under a kernel of its own, with streams, rights and limits as config.json says",
  () => {
    setUp(cache);
    const script = `uname -r; cat; echo wrong >&2; id -u; pwd
      grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status
      cat /proc/sys/kernel/hostname; ls /sys/class/net
      cat /sys/fs/cgroup/*/memory.max /sys/fs/cgroup/memory.max 2>/dev/null | sort | tail -1
      head -c 3 /dev/extra | wc -c
      touch /written && ls /written; exit 7`;
    const flags = [
      "--device",
      "/dev/zero:/dev/extra",
      "--hostname",
      "inside",
      "--memory",
      "100M",
      "-w",
      "/tmp",
    ];
    const { status, stdout, stderr } = run(["sh", "-c", script], flags, "in\n");
    expect(stderr).toBe("wrong\n");
    expect(status).toBe(7);
    const [kernel, ...rest] = stdout.trim().split("\n");
    expect(kernel).toMatch(/^\d+\.\d+/);
    expect(kernel).not.toBe(readFileSync("/proc/sys/kernel/osrelease", "utf8").trim());
    expect(rest.slice(0, 3)).toEqual(["in", "0", "/tmp"]);
    expect(rest.slice(3, 6).map((line) => line.replace(/\s+/, " "))).toEqual([
      expect.stringMatching(/^CapEff: 00000000[0-9a-f]{8}$/),
      "NoNewPrivs: 1",
      "Seccomp: 2",
    ]);
    expect(rest.slice(6, 8)).toEqual(["inside", "lo"]);
    expect(rest.slice(-2)).toEqual(["3", "/written"]);
    expect(existsSync("/written")).toBeFalse();
    leavesNothing();
  },
  needs,
  LONG,
);

e2e(
  "what can't be executed, and what a signal ends, have their exit statuses; nothing is left",
  () => {
    const missing = run(["no-such-program"]);
    expect(missing.status).toBe(127);
    expect(missing.stderr).toMatch(/^hako: .*"no-such-program": executable file not found in \$PATH\n$/);
    expect(run(["/etc/passwd"]).status).toBe(126);
    expect(run(["sh", "-c", "kill -TERM $$"]).status).toBe(143);
    leavesNothing();
  },
  needs,
  LONG,
);

e2e(
  "much goes through standard streams, and who stops reading ends the program",
  () => {
    const input = Buffer.alloc(4 << 20, "0123456789abcdef\n");
    const hash = new Bun.CryptoHasher("sha256").update(input).digest("hex");
    writeFileSync(box.path("input"), input);
    const line = `$HAKO run --driver vm --rootfs / -- sh -c 'sha256sum >&2; head -c 3000000 /dev/zero | tee /dev/stderr' \\
      <${box.path("input")} 2>${box.path("error")} | wc -c`;
    expect(shell(line).stdout.trim()).toBe("3000000");
    const error = readFileSync(box.path("error"));
    expect(error.toString("latin1", 0, 64)).toBe(hash);
    expect(error.length).toBe(3_000_000 + 68);
    expect(shell("$HAKO run --driver vm --rootfs / -- yes | head -1").stdout).toBe("y\n");
    leavesNothing();
  },
  needs,
  LONG,
);

e2e(
  "create, state, start, kill and delete of a bundle; what a machine can't do yet is refused by name",
  async () => {
    const id = box.id();
    const script =
      'trap "echo got; exit 3" TERM; trap "echo again" USR1; echo up; while :; do sleep 0.2; done';
    const bundle = box.bundle(["sh", "-c", script], (config) => {
      config.root.readonly = true;
      config.annotations = { "org.hako.driver": "vm" };
      const syscalls = [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO" }];
      Object.assign(config.linux, { seccomp: { defaultAction: "SCMP_ACT_ALLOW", syscalls } });
    });
    const out = box.path("out");
    const [outcome, status] = [
      () => readFileSync(out, "utf8"),
      () => (JSON.parse(hako(["state", id]).stdout) as { status: string }).status,
    ];
    expect(
      shell(`$HAKO create --bundle ${bundle} --pid-file ${box.path("pid")} ${id} >${out} 2>&1`),
    ).toMatchObject({
      status: 0,
    });
    expect([outcome(), status()]).toEqual(["", "created"]);
    const told = JSON.parse(hako(["state", id]).stdout) as {
      driver: string;
      machine: Record<string, unknown>;
    };
    expect(told.driver).toBe("vm");
    const emulated = told.machine.accelerator === "tcg";
    expect(told.machine).toMatchObject({
      securityBoundary: !emulated,
      kernel: expect.stringMatching(/^\d+\./),
    });
    const { qemu } = machineOf(id);
    const confined = readFileSync(`/proc/${qemu.pid}/status`, "utf8");
    expect(confined).toContain("NoNewPrivs:\t1");
    expect(confined).toContain("Seccomp:\t2");
    // to read files of any owner
    expect(confined).toContain("CapEff:\t0000000000000004");
    expect(confined).toContain("CapPrm:\t0000000000000004");
    expect(hako(["start", id])).toMatchObject({ status: 0, stderr: "" });
    await until("it runs", () => outcome() === "up\n");
    const pid = readFileSync(box.path("pid"), "utf8");
    expect(readFileSync(`/proc/${pid}/comm`, "utf8")).toBe("hako-stand-in\n");
    expect(processesWith(script)).toEqual([]);
    for (const words of [
      ["exec", "--cgroup", "below", id, "true"],
      ["update", "--memory", "64G", id],
      ["checkpoint", id],
    ]) {
      const refused = hako(words);
      expect(refused.stderr).toMatch(
        /^hako: .*(the driver "vm" can't do this|the machine has \d+ bytes for).*\n$/,
      );
      expect(refused.status).not.toBe(0);
    }
    expect(status()).toBe("running");
    // its profile holds in the machine
    expect(hako(["exec", id, "mkdir", "/dev/shm/made"]).stderr).toContain("Operation not permitted");
    // what hears no TERM ends with a command that does
    const deaf = `setsid sh -c "trap '' TERM; sleep 8639; sleep 8639" & exec sleep 8639`;
    expect(hako(["exec", "--timeout", "3s", "--grace", "1m", id, "sh", "-c", deaf]).status).toBe(124);
    expect(hako(["exec", id, "ps", "-o", "args"]).stdout).not.toContain("8639");
    expect(hako(["update", "--memory", "50M", id])).toMatchObject({ status: 0, stderr: "" });
    expect(hako(["exec", id, "cat", `/sys/fs/cgroup/hako/${id}/memory.max`]).stdout).toBe(`${50 << 20}\n`);
    // more than the machine had
    const inGuest = () => /^MemTotal: +(\d+) kB/.exec(hako(["exec", id, "cat", "/proc/meminfo"]).stdout)?.[1];
    const before = Number(inGuest());
    expect(hako(["update", "--memory", "1G", id])).toMatchObject({ status: 0, stderr: "" });
    await until("the guest has more memory", () => Number(inGuest()) > before + (300 << 10));
    expect(hako(["update", "--memory", "50M", id]).status).toBe(0);
    // a list of the host's processors binds the machine
    expect(hako(["update", "--cpuset-cpus", "0", id])).toMatchObject({ status: 0, stderr: "" });
    const bound = readFileSync(`/proc/${machineOf(id).qemu.pid}/status`, "utf8");
    expect(bound).toContain("Cpus_allowed_list:\t0\n");
    const stats = JSON.parse(hako(["events", "--stats", id]).stdout) as {
      data: Record<string, Record<string, unknown>>;
    };
    expect(stats.data.memory?.usage).toMatchObject({ limit: 50 << 20, usage: expect.any(Number) });
    expect(stats.data.pids?.current).toBeGreaterThan(0);
    const table = hako(["ps", id]).stdout;
    expect(table).toMatch(/^UID +PID +PPID +TIME +CMD\nroot +1 +0 +\d\d:\d\d:\d\d +sh -c trap/);
    // on the host there is only what stands for it
    expect(JSON.parse(hako(["ps", "--format", "json", id]).stdout)).toEqual([Number(pid)]);
    expect(hako(["ps", id, "-o", "pid"]).stderr).toContain(`(hako exec ${id} ps -o pid`);
    hako(["pause", id]);
    expect(status()).toBe("paused");
    // its turn comes when it goes on
    hako(["kill", id, "USR1"]);
    expect(status()).toBe("paused");
    hako(["resume", id]);
    await until("its handler has run", () => outcome() === "up\nagain\n");
    expect(status()).toBe("running");
    // its handler runs in the machine
    hako(["kill", id, "TERM"]);
    await until("it has ended", () => status() === "stopped");
    expect(outcome()).toBe("up\nagain\ngot\n");
    await until("QEMU has ended with it", () => hasEnded(qemu.pid));
    expect(hako(["delete", id])).toMatchObject({ status: 0, stderr: "" });
    leavesNothing();
  },
  needs,
  LONG,
);

e2e(
  "memory that runs out: events tell of it, and run says which limit it was; the machine lives",
  async () => {
    const id = box.id();
    const much = "dd if=/dev/zero of=/dev/null bs=200M count=1";
    const script = `trap 'exec ${much}' USR1; echo up; while :; do sleep 0.2; done`;
    const report = box.path("report");
    const [out, words] = [box.path("run.out"), box.path("run.err")];
    const flags = ["--name", id, "--memory", "64M", "--report", report];
    const line = [
      HAKO,
      "--root",
      box.root,
      "run",
      "--driver",
      "vm",
      "--rootfs",
      "/",
      ...flags,
      "--",
      "sh",
      "-c",
    ];
    const running = executeLater("sh", ["-c", `"$@" >${out} 2>${words}`, "sh", ...line, script], LONG, env);
    await until("it runs", () => existsSync(out) && readFileSync(out, "utf8") === "up\n", LONG);
    const events = box.path("events");
    const watching = executeLater(
      "sh",
      ["-c", `exec ${HAKO} --root ${box.root} events ${id} >${events}`],
      LONG,
      env,
    );
    const told = () =>
      readFileSync(events, "utf8")
        .split("\n")
        .filter((line) => line.includes('"oom"'));
    await until("events has begun", () => existsSync(events));
    expect(hako(["exec", id, ...much.split(" ")]).status).toBe(137);
    await until("it is told", () => told().length === 1, TIME_LIMIT);
    expect(told()[0]).toBe(`{"type":"oom","id":"${id}"}`);
    expect(hako(["exec", id, "echo", "alive"]).stdout).toBe("alive\n");
    hako(["kill", id, "USR1"]);
    expect((await running).status).toBe(137);
    expect(readFileSync(words, "utf8")).toBe("hako: memory limit of 64M reached\n");
    expect((await watching).status).toBe(0);
    expect(told().length).toBe(2);
    expect(JSON.parse(readFileSync(report, "utf8"))).toMatchObject({
      ...{ exitCode: 137, oomKilled: true, memoryPeakBytes: 64 << 20 },
      ...{ cpuUserMs: expect.any(Number), cpuSystemMs: expect.any(Number) },
    });
    leavesNothing();
  },
  needs,
  LONG,
);

e2e(
  "a terminal: its size, a new size, an interrupt from the keyboard",
  () => {
    const script =
      "trap 'stty size' WINCH; trap 'echo interrupted; exit 6' INT; tty; stty size; while :; do sleep 0.1; done";
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const words = [
      "--root",
      box.root,
      "run",
      "--driver",
      "vm",
      "--rootfs",
      "/",
      "--tty",
      "--",
      "sh",
      "-c",
      script,
    ];
    const { shown, status } = onTerminal(
      [{ line: "24 80" }, { size: [101, 44] }, { line: "44 101" }, { type: "\x03" }, { wait: "interrupted" }],
      ["env", ...variables, HAKO, ...words],
    );
    expect(shown).toMatch(/^\/dev\/pts\/0\r\n24 80\r\n(24 80\r\n)*44 101\r\n/);
    expect(status).toBe(6);
    leavesNothing();
  },
  [...needs, needsProgram("python3")],
  LONG,
);

e2e(
  "exec: streams, statuses and signals of further processes, several at once, as many as there are ports one after the other",
  async () => {
    const id = box.id();
    expect(run(["sleep", "1000"], ["--detach", "--name", id]).status).toBe(0);
    const inside = hako(
      ["exec", "--user", "1000", id, "sh", "-c", "cat; id -u; cat /proc/1/comm; echo wrong >&2; exit 5"],
      "in\n",
    );
    expect(inside).toMatchObject({ status: 5, stdout: "in\n1000\nhako-init\n", stderr: "wrong\n" });
    const missing = hako(["exec", id, "no-such-program"]);
    // as with runc
    expect(missing.status).toBe(255);
    expect(missing.stderr).toContain('"no-such-program": executable file not found in $PATH');
    const words = ["--root", box.root, "exec", id, "sh", "-c"];
    const together = await Promise.all(
      [1, 2, 3].map((status) => executeLater(HAKO, [...words, `sleep 1; exit ${status}`], undefined, env)),
    );
    expect(together.map(({ status }) => status)).toEqual([1, 2, 3]);
    // more than there are ports
    for (let count = 0; count < 10; count++) expect(hako(["exec", id, "true"]).status).toBe(0);
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const typed = onTerminal(
      [{ line: "24 80" }, { type: "\x04" }],
      [
        "env",
        ...variables,
        HAKO,
        "--root",
        box.root,
        "exec",
        "--tty",
        id,
        "sh",
        "-c",
        "tty; stty size; cat; exit 3",
      ],
    );
    expect(typed).toEqual({ shown: "/dev/pts/0\r\n24 80\r\n", status: 3 });
    // the signal is the program's
    const trap = `${HAKO} --root ${box.root} exec ${id} sh -c 'trap "exit 9" TERM; echo ready; while :; do sleep 0.1; done'`;
    const killed = spawn("sh", ["-c", `exec ${trap}`], { env, stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((done) => killed.stdout.once("data", done));
    killed.kill("SIGTERM");
    expect(await new Promise((done) => killed.on("exit", done))).toBe(9);
    // detached, it goes on without the command, and ends with the container
    const pid = box.path("exec.pid");
    expect(hako(["exec", "--detach", "--pid-file", pid, id, "sleep", "1001"]).status).toBe(0);
    const standIn = readFileSync(pid, "utf8");
    await until("the stand-in is called so", () =>
      readFileSync(`/proc/${standIn}/comm`, "utf8").startsWith("hako-stand-in"),
    );
    expect(hako(["delete", "--force", id]).status).toBe(0);
    await until("its stand-in has ended", () => !existsSync(`/proc/${standIn}/exe`));
    leavesNothing();
  },
  needs,
  LONG,
);

e2e(
  "the end of QEMU is the program's, by SIGKILL; a command that is killed leaves what delete removes",
  async () => {
    const id = box.id();
    expect(run(["sleep", "1000"], ["--detach", "--name", id]).status).toBe(0);
    const { qemu } = machineOf(id);
    process.kill(qemu.pid, "SIGKILL");
    expect(hako(["wait", id]).stdout).toBe("137\n");
    expect(hako(["delete", id]).status).toBe(0);
    const paused = box.id();
    expect(run(["sleep", "1000"], ["--detach", "--name", paused]).status).toBe(0);
    hako(["pause", paused]);
    expect(hako(["delete", "--force", paused])).toMatchObject({ status: 0, stderr: "" });
    const other = box.id();
    const words = [
      "--root",
      box.root,
      "run",
      "--driver",
      "vm",
      "--rootfs",
      "/",
      "--name",
      other,
      "--",
      "true",
    ];
    const killed = spawn(HAKO, words, { env, stdio: "ignore" });
    await until("QEMU is there", () => existsSync(machineFile(other)) && machineOf(other).qemu !== undefined);
    killed.kill("SIGKILL");
    await new Promise((done) => killed.on("exit", done));
    const pid = machineOf(other).qemu.pid;
    expect(hako(["delete", "--force", other]).status).toBe(0);
    await until("QEMU has ended", () => hasEnded(pid));
    leavesNothing();
  },
  needs,
  LONG,
);

e2e(
  "a user namespace: owners are mapped in the machine as they are on the host",
  () => {
    const script = "id -u; cut -c1-10 /proc/self/uid_map; touch /tmp/mine; stat -c %u /tmp/mine /etc/passwd";
    const { status, stdout, stderr } = run(["sh", "-c", script], ["--userns", "auto"]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout.trim().split(/\s+/)).toEqual(["0", "0", "0", "0"]);
    leavesNothing();
  },
  needs,
  LONG,
);

e2e("what can't be in a machine is refused before anything is made", () => {
  const refused = (flags: string[]) => hako(["run", "--driver", "vm", ...flags, "--", "true"]).stderr;
  for (const [flags, what] of [
    [["--rootfs", "/", "--network", "host"], "config /linux/namespaces: the host's network"],
    [["--rootfs", "/", "-v", "/proc:/mnt"], "/proc of the host's kernel"],
    [["--rootfs", "/", "--device", "/dev/kmsg"], "config /linux/devices/0: /dev/kmsg, a device of the host"],
  ] as const) {
    const stderr = refused([...flags]);
    expect(stderr).toContain(what);
    expect(stderr).toContain('the driver "vm" can\'t do this');
  }
  // by the executable's name
  symlinkSync(HAKO, box.path("hako-vm"));
  const named = execute(
    box.path("hako-vm"),
    ["--root", box.root, "run", "--rootfs", "/", "--net", "host", "--", "true"],
    { env },
  );
  expect(named.stderr).toContain("config /linux/namespaces: the host's network");
  const weaker = box.bundle(["true"], (config) => {
    config.annotations = { "org.hako.driver": "namespaces" };
  });
  expect(hako(["run", "--bundle", weaker, box.id()]).stderr).toContain(
    '/annotations/org.hako.driver: "namespaces": the only driver that can be asked for is "vm"',
  );
  leavesNothing();
}, [needsRoot ?? needsHako, needsBusybox, process.arch === "x64" ? undefined : "machines are for x86-64"]);
