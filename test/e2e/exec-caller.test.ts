// exec and its caller: streams, a terminal, descriptors, a pid file, signals.
import { expect } from "bun:test";
import { spawn } from "node:child_process";
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { recvFd } from "../../src/linux/file/descriptor-passing";
import { accept, unixListen } from "../../src/linux/file/unix-socket";
import {
  Box,
  e2e,
  execute,
  expectUnchanged,
  HAKO,
  hostSnapshot,
  IS_HAKO,
  needsHako,
  needsProgram,
  SLEEP,
  until,
} from "./support";

e2e("a file of the caller's as standard input keeps its mode", () => {
  using box = new Box();
  const id = box.started();
  const file = box.path("tool");
  writeFileSync(file, "x");
  chmodSync(file, 0o6755);
  const shell = (line: string) => execute("sh", ["-c", `${line} < ${file}`]).status;
  const hako = `${HAKO} --root ${box.root}`;
  expect(shell(`${hako} exec ${id} cat`)).toBe(0);
  expect(shell(`${hako} run --bundle ${box.bundle(["cat"])} ${box.id()}`)).toBe(0);
  expect(statSync(file).mode & 0o7777).toBe(0o6755);
}, [needsHako]);

e2e("--process takes a process document, and names its wrong fields", () => {
  using box = new Box();
  const id = box.started();
  const file = box.path("process.json");
  const specified = {
    cwd: "/tmp",
    args: ["sh", "-c", "pwd; ulimit -n; echo $X; cat /proc/self/oom_score_adj"],
    env: ["PATH=/bin", "X=y"],
    user: { uid: 0, gid: 0 },
    rlimits: [{ type: "RLIMIT_NOFILE", soft: 50, hard: 60 }],
    oomScoreAdj: 300,
  };
  writeFileSync(file, JSON.stringify(specified));
  expect(box.ok("exec", "--process", file, id).stdout).toBe("/tmp\n50\ny\n300\n");
  // what has the wrong form, then what is wrong in its meaning
  for (const [change, pointers] of [
    [{ env: ["novalue"] }, ["/env/0"]],
    [{ args: [], cwd: "x" }, ["/args", "/cwd"]],
  ] as const) {
    writeFileSync(file, JSON.stringify({ ...specified, ...change }));
    const wrong = box.hako("exec", "-p", file, id);
    expect(wrong.status).toBe(255);
    for (const pointer of pointers) expect(wrong.stderr).toContain(`${pointer}: `);
  }
}, [needsHako]);

e2e("a detached process runs on with its pid file written", async () => {
  using box = new Box();
  const id = box.started();
  const file = box.path("pid");
  box.ok("exec", "--detach", "--pid-file", file, id, "sleep", "600");
  const pid = readFileSync(file, "utf8");
  expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).toBe("sleep\x00600\x00");
  await until(
    "it is no child of ours",
    () => !/^PPid:\t0$/m.test(readFileSync(`/proc/${pid}/status`, "utf8")),
  );
  box.ok("kill", id, "KILL");
  await until("it ends with its pid namespace", () => execute("test", ["-e", `/proc/${pid}`]).status !== 0);
});

e2e("a terminal: its size, its streams, and a console socket that receives it", () => {
  using box = new Box();
  const id = box.started();
  const command = `stty rows 40 cols 90; exec ${HAKO} --root ${box.root} exec -t ${id} sh -c 'tty; stty size; cat /proc/1/comm; exit 3'`;
  const result = execute("script", ["-qec", command, "/dev/null"]);
  expect(result.stdout.replaceAll(/\r|\^@/g, "")).toContain("/dev/pts/0\n40 90\nsleep\n");
  expect(result.status).toBe(3);
}, [needsProgram("script")]);

e2e("--tty goes with a process file that says the same, as conmon calls it", async () => {
  using box = new Box();
  const id = box.started();
  const file = box.path("process.json");
  const user = { uid: 0, gid: 0 };
  writeFileSync(
    file,
    JSON.stringify({
      terminal: true,
      user,
      args: ["sh", "-c", "tty > /tmp/tty"],
      env: ["PATH=/bin"],
      cwd: "/",
    }),
  );
  const socket = box.path("console");
  using listener = unixListen(socket);
  const executed = box.later([
    "exec",
    "--process",
    file,
    "--tty",
    "--console-socket",
    socket,
    "--detach",
    id,
  ]);
  using connection = accept(listener);
  using master = recvFd(connection).fd;
  expect((await executed).stderr).toBe("");
  expect(master.number).toBeGreaterThan(2);
  await until("the command has written", () => box.ok("exec", id, "ls", "/tmp").stdout.includes("tty"));
  expect(box.ok("exec", id, "cat", "/tmp/tty").stdout).toBe("/dev/pts/0\n");
});

e2e("--preserve-fds hands descriptors over, and nothing else is open", () => {
  using box = new Box();
  const id = box.started();
  expect(box.ok("exec", id, "sh", "-c", "ls /proc/self/fd | tr '\\n' ' '").stdout).toBe("0 1 2 3 ");
  const file = join(box.dir, "handed");
  writeFileSync(file, "through 3");
  const line = `exec 3<${file}; exec ${HAKO} --root ${box.root} exec --preserve-fds 1 ${id} cat /proc/self/fd/3`;
  expect(execute("sh", ["-c", line]).stdout).toBe("through 3");
  // runc takes its own descriptors for the caller's
  if (IS_HAKO) expect(box.hako("exec", "--preserve-fds", "1", id, "true").status).toBe(255);
});

e2e("descriptors of socket activation are the first process's, not exec's", () => {
  using box = new Box();
  const id = box.started();
  const file = join(box.dir, "handed");
  writeFileSync(file, "");
  const list = "ls /proc/self/fd | tr '\\n' ' '; echo $LISTEN_FDS";
  const line = `exec 3<${file}; LISTEN_FDS=1 LISTEN_PID=$$ exec ${HAKO} --root ${box.root} exec ${id} sh -c "${list}"`;
  expect(execute("sh", ["-c", line]).stdout).toBe("0 1 2 3 \n");
});

e2e("many at once, and one that is killed on its way, leave nothing", async () => {
  using box = new Box();
  const before = hostSnapshot(box.root);
  const id = box.started();
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, n) => box.later(["exec", id, "echo", String(n)])),
  );
  expect(all.map(({ stdout }) => stdout.trim())).toEqual(Array.from({ length: 20 }, (_, n) => String(n)));
  for (const delay of [4, 8, 12, 16, 20]) await box.later(["exec", id, "sleep", "600"], delay);
  box.ok("delete", "--force", id);
  await expectUnchanged(before, box.root);
});

e2e("while a command runs in the foreground, hako is a small program that hands it signals", async () => {
  using box = new Box();
  const id = box.started();
  const line =
    "trap 'echo usr1' USR1; trap 'exit 9' TERM; grep -E 'SigBlk|SigIgn' /proc/self/status; env; while :; do sleep 0.05; done";
  // a child that it inherits is none of its business
  const words = [HAKO, "--root", box.root, "exec", id, "sh", "-c", line];
  const caller = spawn("sh", ["-c", 'sleep 0.1 & exec "$@"', "sh", ...words], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const pid = caller.pid ?? 0;
  const ended = new Promise((done) => caller.on("exit", done));
  let output = "";
  caller.stdout.on("data", (data: Buffer) => {
    output += data.toString();
  });
  await until("the command runs", () => output.includes("PATH="));
  expect(readFileSync(`/proc/${pid}/comm`, "utf8")).toBe("hako\n");
  expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).toBe(words.map((word) => `${word}\0`).join(""));
  expect(residentOf(pid)).toBeLessThan(500);
  expect(output).toMatch(/SigBlk:\s*0+\nSigIgn:\s*0+\n/);
  expect(output).not.toContain("HAKO");
  process.kill(pid, "SIGUSR1");
  await until("the signal has come", () => output.includes("usr1"));
  process.kill(pid, "SIGTERM");
  expect(await ended).toBe(9);
});

/** In KiB. */
function residentOf(pid: number): number {
  return Number(/VmRSS:\s*(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

/** A container whose filter forbids a call, and whose programs may be scheduled at will. */
function filtered(box: Box, name: string, action: string): string {
  return box.started(SLEEP, (config) => {
    config.process.noNewPrivileges = true;
    Object.assign(config.linux, {
      seccomp: { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: [name], action }] },
    });
  });
}

e2e("so it is with a filter, a pid file, a pidfd socket, --process and a scheduler @v2", async () => {
  using box = new Box();
  const id = filtered(box, "swapon", "SCMP_ACT_ERRNO");
  const [file, document, socket] = [box.path("pid"), box.path("process.json"), box.path("pidfd")];
  using listener = unixListen(socket);
  const scheduler = { policy: "SCHED_BATCH", nice: 3 };
  const process = { cwd: "/", args: ["/bin/sleep", "0.5"], user: { uid: 0, gid: 0 }, scheduler };
  writeFileSync(document, JSON.stringify(process));
  const flags = ["--pid-file", file, "--pidfd-socket", socket, "--process", document];
  const caller = spawn(HAKO, ["--root", box.root, "exec", ...flags, id], { stdio: "inherit" });
  const ended = new Promise((done) => caller.on("exit", done));
  using connection = accept(listener);
  recvFd(connection).fd.close();
  await until("the program runs", () => existsSync(file) && commOf(readFileSync(file, "utf8")) === "sleep\n");
  expect(residentOf(caller.pid ?? 0)).toBeLessThan(500);
  expect(await ended).toBe(0);
  // what can't be executed is told all the same, and nothing is left: a pipe as document is not read twice
  writeFileSync(document, JSON.stringify({ ...process, args: ["/no/such"] }));
  const line = `exec ${HAKO} --root ${box.root} exec --pid-file ${file}2 --process /dev/fd/4 ${id} 4<<E\n$(cat ${document})\nE\n`;
  const failed = execute("sh", ["-c", line]);
  expect(failed).toMatchObject({ status: 255, stdout: "" });
  expect(failed.stderr).toMatch(/^hako: .*exec: "\/no\/such": stat \/no\/such: no such file or directory\n$/);
  expect(existsSync(`${file}2`)).toBe(false);
}, [needsHako]);

e2e("so it is with a terminal, and what can't be executed there is told", async () => {
  using box = new Box();
  const id = box.started();
  const line = "test -t 0 && read -r x; echo got $x";
  const caller = spawn(HAKO, ["--root", box.root, "exec", "-t", id, "sh", "-c", line], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = new Promise((done) => caller.on("close", done));
  let output = "";
  caller.stdout?.on("data", (data: Buffer) => {
    output += data.toString();
  });
  await until("hako has left its place", () => residentOf(caller.pid ?? 0) < 500);
  caller.stdin?.end("it\n");
  expect(await ended).toBe(0);
  expect(output).toContain("got it");
  const failed = box.hako("exec", "-t", id, "/no/such");
  expect(failed.status).toBe(255);
  expect(failed.stderr).toMatch(/^hako: .*exec: "\/no\/such": stat \/no\/such: no such file or directory\n$/);
}, [needsHako]);

function commOf(pid: string): string {
  return readFileSync(`/proc/${pid}/comm`, "utf8");
}

e2e("an environment of more than a megabyte, at create and at exec", () => {
  using box = new Box();
  const id = box.started(SLEEP, (config) => {
    config.process.env.push(...Array.from({ length: 15 }, (_, index) => `V${index}=${"x".repeat(100_000)}`));
  });
  expect(box.ok("exec", id, "sh", "-c", "echo $V0$V14 | wc -c").stdout).toBe("200001\n");
});

e2e("a filter that ends the process before its program, and one that ends the program @v2", () => {
  using box = new Box();
  // without no_new_privs a capability is needed for the filter, and taken away under it
  const exec = (id: string) => box.hako("exec", "--no-new-privs=false", id, "true");
  const none = exec(filtered(box, "capset", "SCMP_ACT_KILL_PROCESS"));
  expect(none.status).toBe(255);
  expect(none.stderr).toMatch(/^hako: the process died before it could execute the program: .*seccomp/);
  const refused = exec(filtered(box, "capset", "SCMP_ACT_ERRNO"));
  expect(refused).toMatchObject({
    status: 255,
    stderr: "hako: capset under the seccomp profile: operation not permitted\n",
  });
  const ends = filtered(box, "mkdir", "SCMP_ACT_KILL_PROCESS");
  expect(box.hako("exec", ends, "mkdir", "/tmp/x")).toMatchObject({ status: 159, stderr: "" });
}, [needsHako]);

e2e(
  "a signal while it starts is not lost: it ends hako and nothing runs, or the program has it",
  async () => {
    using box = new Box();
    const id = box.started();
    // after 4 to 80 ms: before, while and after the process is made
    for (let round = 1; round <= 20; round++) {
      const status = execute("timeout", [
        `${(round * 4) / 1000}`,
        HAKO,
        "--root",
        box.root,
        "exec",
        id,
        "sleep",
        "600",
      ]).status;
      expect(status).toBe(124);
    }
    // its end may be a moment later than hako's
    const running = () =>
      box.ok("exec", id, "sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null; true").stdout.split("sleep")
        .length - 1;
    await until("only the container's own sleep is left", () => running() === 1);
  },
);

e2e("--pidfd-socket gets a descriptor of the process, of the first one and of another", async () => {
  using box = new Box();
  const socket = box.path("pidfd");
  using listener = unixListen(socket);
  const receive = () => {
    using connection = accept(listener);
    const { fd, name } = recvFd(connection);
    using pidfd = fd;
    const pid = /^Pid:\t(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${pidfd.number}`, "utf8"))?.[1];
    return { name, pid: Number(pid) };
  };
  const id = box.id();
  const created = box.later([
    "create",
    "--pidfd-socket",
    socket,
    "--bundle",
    box.bundle(["sleep", "600"]),
    id,
  ]);
  const first = receive();
  expect((await created).status).toBe(0);
  expect(first).toEqual({ name: "standard", pid: box.state(id).pid });
  box.ok("start", id);
  const executed = box.later(["exec", "--pidfd-socket", socket, id, "sleep", "1"]);
  expect(receive()).toMatchObject({ name: "setns" });
  expect((await executed).status).toBe(0);
  expect(box.hako("exec", "--pidfd-socket", box.path("nobody"), id, "true").stderr).toContain(
    "--pidfd-socket",
  );
});
