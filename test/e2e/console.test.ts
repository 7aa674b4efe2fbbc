// Terminals: made, sent over sockets, received and connected; and those of `run`.
import { describe, expect } from "bun:test";
import { spawn } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import type { Fd } from "../../src/linux/call/fd";
import { recvFd } from "../../src/linux/file/descriptor-passing";
import { hasErrno } from "../../src/linux/file/file";
import { waitFor } from "../../src/linux/file/poll";
import { accept, unixConnect, unixListen } from "../../src/linux/file/unix-socket";
import { getWindowSize, setWindowSize } from "../../src/linux/terminal/pty";
import { Box, e2e, execute, HAKO, needsHako, needsProgram, until } from "./support";
import { onTerminal } from "./terminal";

describe("console open", () => {
  e2e("sends exactly one master and prints the slave's path", async () => {
    using box = new Box();
    const path = box.path("tty.sock");
    using listener = unixListen(path);
    const done = box.later(["console", "open", "--console-socket", path]);
    while (!waitFor(listener, "read", 10)) await Bun.sleep(5);
    using connection = accept(listener);
    const { fd, name } = recvFd(connection);
    using master = fd;
    expect(name).toBe("/dev/ptmx");
    setWindowSize(master, { width: 11, height: 22 });
    expect(getWindowSize(master)).toEqual({ width: 11, height: 22 });
    const result = await done;
    expect(result.status).toBe(0);
    expect(result.stdout).toMatch(/^\/dev\/pts\/\d+\n$/);
  }, [needsHako]);

  e2e("--console wins; without either nothing is printed", () => {
    using box = new Box();
    expect(box.ok("console", "open", "--console", "console-test").stdout).toBe("console-test\n");
    const both = ["console", "open", "--console", "console-test", "--console-socket", "console-socket-test"];
    expect(box.ok(...both).stdout).toBe("console-test\n");
    expect(box.ok("console", "open").stdout).toBe("");
  }, [needsHako]);

  e2e("an unknown socket", () => {
    using box = new Box();
    const result = box.hako("console", "open", "--console-socket", "/unknown/sock");
    expect(result).toMatchObject({ status: 1, stdout: "" });
    expect(result.stderr).toContain("/unknown/sock: no such file or directory");
  }, [needsHako]);
});

describe("console recv", () => {
  e2e("output up to the last byte, through a pipe", async () => {
    using box = new Box();
    const socket = box.path("tty.sock");
    const received = box.later(["console", "recv", socket]);
    await until("recv listens", () => existsSync(socket));
    const size = 1 << 20;
    const bundle = box.bundle(["sh", "-c", `head -c ${size} /dev/zero | tr '\\0' x; echo end`], (config) => {
      config.process.terminal = true;
    });
    const id = box.id();
    box.ok("create", "--console-socket", socket, "--bundle", bundle, id);
    box.ok("start", id);
    const result = await received;
    expect(result.status).toBe(0);
    expect(result.stdout.length).toBe(size + "end\r\n".length);
    expect(result.stdout.endsWith("xend\r\n")).toBe(true);
    expect(existsSync(socket)).toBe(false);
  }, [needsHako]);

  e2e("input, size and its changes, from a terminal", async () => {
    using box = new Box();
    const socket = box.path("tty.sock");
    const bundle = box.bundle(
      [
        "sh",
        "-c",
        'trap "echo changed; stty size" WINCH; read -r a; echo "got $a"; stty size; b=; until [ "$b" ]; do read -r b; done; echo "last $b"',
      ],
      (config) => {
        config.process.terminal = true;
      },
    );
    const id = box.id();
    const start = box.path("start.sh");
    writeFileSync(
      start,
      `while [ ! -S ${socket} ]; do sleep 0.05; done; ${HAKO} --root ${box.root} create --console-socket ${socket} --bundle ${bundle} ${id} && ${HAKO} --root ${box.root} start ${id}\n`,
    );
    const creator = spawn("sh", [start], { stdio: "ignore" });
    const { shown, status } = onTerminal(
      [
        { type: "one\n" },
        { line: "got one" },
        { line: "24 80", size: [99, 33] },
        { line: "changed" },
        { line: "33 99", type: "two\n" },
        { wait: "last" },
      ],
      [HAKO, "console", "recv", socket],
    );
    await new Promise((done) => (creator.exitCode === null ? creator.on("exit", done) : done(undefined)));
    expect(shown).toContain("got one\r\n");
    expect(shown).toContain("33 99\r\n");
    expect(shown).toContain("last two\r\n");
    expect(status).toBe(0);
  }, [needsHako, needsProgram("python3")]);

  e2e("its socket is gone when it is ended", async () => {
    using box = new Box();
    const socket = box.path("tty.sock");
    const child = spawn(HAKO, ["console", "recv", socket], { stdio: "ignore" });
    await until("recv listens", () => existsSync(socket));
    const ended = new Promise<number | null>((done) => child.on("exit", (status) => done(status)));
    child.kill("SIGTERM");
    expect(await ended).toBe(128 + 15);
    expect(existsSync(socket)).toBe(false);
    const again = box.hako("console", "recv", box.path("none/tty.sock"));
    expect(again.status).toBe(1);
  }, [needsHako]);
});

describe("run with a terminal", () => {
  e2e("size, keys, exit status; the caller's terminal is as before", () => {
    using box = new Box();
    const bundle = box.bundle(
      ["sh", "-c", 'stty size; trap "echo interrupted; exit 5" INT; echo ready; while :; do sleep 0.1; done'],
      (config) => {
        config.process.terminal = true;
      },
    );
    const line = `before=$(stty -g); ${HAKO} --root ${box.root} run --bundle ${bundle} ${box.id()}; echo "status $?"; [ "$before" = "$(stty -g)" ] && echo same`;
    const { shown } = onTerminal(
      [{ wait: "ready" }, { type: "\u0003" }, { wait: "same" }],
      ["sh", "-c", line],
    );
    expect(shown).toContain("24 80\r\n");
    expect(shown).toContain("interrupted\r\n");
    expect(shown).toContain("status 5\r\n");
    expect(shown).toContain("same\r\n");
  }, [needsHako, needsProgram("python3")]);

  e2e("when nobody reads it any more the program is hung up, and with it run or exec ends", async () => {
    using box = new Box();
    const id = box.started();
    const hungUp = ["sh", "-c", 'trap "touch /tmp/hung-up; exit" HUP; while :; do echo y; sleep 0.05; done'];
    const bundle = box.bundle(["yes"], (config) => {
      config.process.terminal = true;
    });
    for (const words of [
      ["exec", "--tty", id, "yes"],
      ["exec", "--tty", id, ...hungUp],
      ["run", "--bundle", bundle, box.id()],
    ]) {
      const call = [HAKO, "--root", box.root, ...words];
      const line = `set -o pipefail; "$@" </dev/null | head -n 1`;
      const { status, stdout } = execute("bash", ["-c", line, "bash", ...call], { timeout: 20_000 });
      expect([words[0], status, stdout]).toEqual([words[0], 141, "y\n"]);
    }
    expect(box.ok("exec", id, "ls", "/tmp").stdout).toBe("hung-up\n");
    await until("nothing else runs", () => JSON.parse(box.ok("ps", "--json", id).stdout).length === 1);
    expect(box.ok("list", "--quiet").stdout).toBe(`${id}\n`);
  }, [needsHako]);

  e2e("an ended standard input is the end of the program's", () => {
    using box = new Box();
    const id = box.started();
    const commands: [name: string, line: string][] = [
      ["run", `run --rootfs / --tty ${box.id()} --`],
      ["exec", `exec --tty ${id}`],
    ];
    for (const [name, command] of commands) {
      const piped = (input: string, line: string) => {
        const call = `${HAKO} --root ${box.root} ${command} ${line}`;
        const { status, stdout } = execute("sh", ["-c", call], { input, timeout: 20_000 });
        return [name, status, stdout];
      };
      // the terminal shows what is typed, then cat does
      expect(piped("abc\n", "cat")).toEqual([name, 0, "abc\nabc\n"]);
      expect(piped("abc", "cat")).toEqual([name, 0, "abcabc"]);
      expect(piped("", "cat")).toEqual([name, 0, ""]);
      // whoever comes later finds the end too
      expect(piped("", "sh -c 'cat; cat; read line || echo end'")).toEqual([name, 0, "end\n"]);
      const many = Array.from({ length: 2000 }, (_, index) => `line ${index}\n`).join("");
      expect(piped(many, "sh -c 'stty -echo; cat > /dev/null; echo done'")[1]).toBe(0);
      // a program that reads each byte is told nothing
      const raw = "sh -c 'stty raw; (timeout 1 cat) 2> /dev/null || echo waited'";
      expect(piped("", raw)[2]).toContain("waited");
    }
  }, [needsHako]);

  e2e("in a pipe its lines are straight, for whoever writes to the outer terminal", () => {
    using box = new Box();
    const line = `${HAKO} --root ${box.root} run --rootfs / --tty ${box.id()} -- sh -c 'echo a; echo b; sleep 1; echo c' | cat`;
    const { shown } = onTerminal([{ wait: "c" }], ["sh", "-c", line]);
    expect(shown).toBe("a\r\nb\r\nc\r\n");
  }, [needsHako, needsProgram("python3")]);

  e2e("run --rootfs --tty", () => {
    using box = new Box();
    const argv = [
      HAKO,
      "--root",
      box.root,
      "run",
      "--rootfs",
      "/",
      "--tty",
      box.id(),
      "--",
      "sh",
      "-c",
      "tty; exit 3",
    ];
    const { shown, status } = onTerminal([], argv);
    expect(shown).toBe("/dev/pts/0\r\n");
    expect(status).toBe(3);
  }, [needsHako, needsProgram("python3")]);

  e2e("without a terminal of its own, and with nobody to receive it", () => {
    using box = new Box();
    const bundle = box.bundle(["true"], (config) => {
      config.process.terminal = true;
    });
    const created = box.hako("create", "--bundle", bundle, box.id());
    expect(created.status).not.toBe(0);
    expect(created.stderr).toContain("--console-socket");
    const plain = box.bundle(["true"]);
    const socket = box.path("tty.sock");
    using listener = unixListen(socket);
    const refused = box.hako("create", "--console-socket", socket, "--bundle", plain, box.id());
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).toContain("no terminal");
    expect(waitFor(listener, "read", 0)).toBe(false);
    rmSync(socket);
  }, [needsHako]);
});

describe("console recv and signals", () => {
  e2e("whichever ends it, the socket goes", async () => {
    using box = new Box();
    const path = box.path("tty.sock");
    const signals = [
      "HUP",
      "INT",
      "QUIT",
      "TERM",
      "USR1",
      "USR2",
      "ALRM",
      "VTALRM",
      "PROF",
      "XCPU",
      "IO",
    ] as const;
    for (const signal of signals) {
      const child = spawn(HAKO, ["console", "recv", path], { stdio: "ignore" });
      const ended = new Promise((resolve) => child.on("exit", resolve));
      await until("the socket is there", () => existsSync(path));
      child.kill(`SIG${signal}`);
      expect([signal, typeof (await ended), existsSync(path)]).toEqual([signal, "number", false]);
    }
  }, [needsHako]);

  e2e("it ends although somebody has connected and says nothing", async () => {
    using box = new Box();
    const path = box.path("tty.sock");
    const child = spawn(HAKO, ["console", "recv", path], { stdio: "ignore" });
    const ended = new Promise((resolve) => child.on("exit", resolve));
    let connection: Fd | undefined;
    await until("somebody listens", () => {
      try {
        connection = unixConnect(path);
        return true;
      } catch (error) {
        // not there yet, or bound and not listening yet
        if (hasErrno(error, "ENOENT", "ECONNREFUSED")) return false;
        throw error;
      }
    });
    using _connection = connection;
    await until("the connection was taken", () => !existsSync(path));
    child.kill("SIGTERM");
    expect(await ended).toBe(143);
  }, [needsHako]);
});
