// What the caller leaves to the runtime: descriptors, a directory, signals, variables.
import { describe, expect } from "bun:test";
import { closeSync, existsSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Box, e2e, execute, HAKO, IS_HAKO, needsHako, SLEEP } from "./support";

describe("descriptors", () => {
  e2e("descriptors that the caller hasn't opened are refused by number: runc hands its own over in their place", () => {
    using box = new Box();
    const id = box.started();
    const bundle = box.bundle(["true"]);
    const run = (count: number) => `run --preserve-fds ${count} --bundle ${bundle} ${box.id()}`;
    const rows: [opened: string, words: string, said: string][] = [
      ["exec 3</dev/null;", run(5), "--preserve-fds: descriptor 4 is not open"],
      ["exec 4</dev/null;", run(2), "--preserve-fds: descriptor 3 is not open"],
      ["exec 3</dev/null 5</dev/null;", run(3), "--preserve-fds: descriptor 4 is not open"],
      ["", run(99_999), "--preserve-fds: descriptor 3 is not open"],
      ["exec 3</dev/null;", `exec --preserve-fds 2 ${id} true`, "--preserve-fds: descriptor 4 is not open"],
      ["exec 3</dev/null; LISTEN_PID=$$ LISTEN_FDS=2", run(0), "LISTEN_FDS: descriptor 4 is not open"],
    ];
    for (const [opened, words, said] of rows) {
      const line = `${opened} exec "$@" ${words}`;
      const result = execute("bash", ["-c", line, "bash", HAKO, "--root", box.root]);
      expect({ line, failed: result.status !== 0 }).toEqual({ line, failed: true });
      expect(result.stderr).toContain(said);
    }
    expect(JSON.parse(box.ok("list", "--format", "json").stdout)).toHaveLength(1);
  }, [needsHako]);

  e2e("nothing of the caller's reaches the program without --preserve-fds", () => {
    using box = new Box();
    const fds = [openSync("/etc/hostname", "r"), openSync("/etc/passwd", "r")];
    const bundle = box.bundle(["sh", "-c", "ls /proc/self/fd | tr '\\n' ' '; cat <&4"]);
    const none = box.hakoWith({ extraFds: fds }, "run", "--bundle", bundle, box.id());
    expect(none.status).not.toBe(0);
    // runc takes its own descriptors for the caller's
    if (IS_HAKO)
      expect(box.hako("create", "--preserve-fds", "1", "--bundle", bundle, box.id()).status).toBe(1);
    expect(none.stdout.replace(/3 $/, "")).toBe("0 1 2 ");
    const two = box.hakoWith({ extraFds: fds }, "run", "--preserve-fds", "2", "--bundle", bundle, box.id());
    expect(two.status).toBe(0);
    expect(two.stdout.slice(0, 10)).toBe("0 1 2 3 4 ");
    expect(two.stdout).toContain("root:");
    for (const fd of fds) closeSync(fd);
  });

  e2e("a standard stream that is closed is /dev/null for the program", () => {
    using box = new Box();
    const id = box.started();
    const fields: [string, number[]][] = [
      ["<&-", [0]],
      [">&-", [1]],
      ["2>&-", [2]],
      ["<&- >&- 2>&-", [0, 1, 2]],
    ];
    for (const [closed, streams] of fields) {
      const tests = streams.map((stream) => `[ "$(readlink /proc/$$/fd/${stream})" = /dev/null ]`);
      const program = [
        "sh",
        "-c",
        `[ -e /proc/$$/fd/0 -a -e /proc/$$/fd/2 ] && ${tests.join(" && ")} && exit 7`,
      ];
      const calls: [string[], number][] = [
        [["run", "--bundle", box.bundle(program), box.id()], 7],
        [["exec", id, ...program], 7],
        [["exec", "--detach", id, ...program], 0],
      ];
      for (const [words, status] of calls) {
        const call = [HAKO, "--root", box.root, ...words];
        const result = execute("sh", ["-c", `exec "$@" ${closed}`, "sh", ...call]);
        expect([closed, words[0], result.status, result.stderr]).toEqual([closed, words[0], status, ""]);
      }
    }
  });

  e2e("those of socket activation, if they are for this process (sd_listen_fds(3))", () => {
    using box = new Box();
    const line = "echo $LISTEN_FDS $LISTEN_PID; ls /proc/self/fd | wc -l; cat /proc/self/fd/3 2>/dev/null";
    const bundle = box.bundle(["sh", "-c", `${line}; true`]);
    const run = (variables: string, ...flags: string[]) => {
      const words = [HAKO, "--root", box.root, "run", ...flags, "--bundle", bundle, box.id()];
      const call = `exec 3< <(echo 3) 4< <(echo 4); ${variables} exec "$@"`;
      return execute("bash", ["-c", call, "bash", ...words]).stdout;
    };
    // its own descriptor of the directory is one, too
    expect(run("LISTEN_PID=$$ LISTEN_FDS=1")).toBe("1 1\n5\n3\n");
    expect(run("LISTEN_PID=$$ LISTEN_FDS=1", "--preserve-fds", "1")).toBe("1 1\n6\n3\n");
    for (const variables of [
      "LISTEN_FDS=1",
      "LISTEN_PID=1 LISTEN_FDS=1",
      "LISTEN_PID=$$",
      "LISTEN_PID=$$ LISTEN_FDS=",
    ])
      expect([variables, run(variables)]).toEqual([variables, "\n4\n"]);
  });

  e2e("more than a thousand are handed over", () => {
    using box = new Box();
    const bundle = box.bundle(["sh", "-c", "ls /proc/self/fd | wc -l"], ({ process }) => {
      process.rlimits = [];
    });
    const call = [HAKO, "--root", box.root, "run", "--preserve-fds", "1098", "--bundle", bundle, box.id()];
    const open = 'for ((fd = 3; fd <= 1100; fd++)); do eval "exec $fd</dev/null"; done; exec "$@"';
    const result = execute("bash", ["-c", `ulimit -Sn 2000; ${open}`, "bash", ...call]);
    // and the standard streams, and ls's own
    expect(result).toMatchObject({ status: 0, stdout: "1102\n", stderr: "" });
  });

  e2e("the program's table of descriptors has not grown: each system call on one would cost more", () => {
    using box = new Box();
    const size = ["grep", "FDSize:", "/proc/self/status"];
    const run = box.hako("run", "--bundle", box.bundle(size), box.id());
    expect(run.stdout).toBe("FDSize:\t64\n");
    const id = box.id();
    box.ok("run", "--detach", "--bundle", box.bundle(SLEEP), id);
    expect(box.hako("exec", id, ...size).stdout).toBe("FDSize:\t64\n");
  });
});

describe("a hostile place to be called from", () => {
  e2e("working directory and HOME with .env and bunfig.toml", () => {
    using box = new Box();
    const mark = box.path("mark");
    for (const name of ["work", "home"]) {
      const dir = box.path(name);
      mkdirSync(dir);
      writeFileSync(
        join(dir, "evil.ts"),
        `require("node:fs").writeFileSync(${JSON.stringify(mark)}, "evil");`,
      );
      for (const file of ["bunfig.toml", ".bunfig.toml"])
        writeFileSync(join(dir, file), 'preload = ["./evil.ts"]\n');
      writeFileSync(join(dir, ".env"), "HAKO_STACK=1\nPATH=/evil\nLEAK=leak\n");
      writeFileSync(join(dir, "package.json"), '{"scripts":{"run":"touch evil"}}');
      writeFileSync(join(dir, "tsconfig.json"), "{");
    }
    const options = {
      cwd: box.path("work"),
      env: { HOME: box.path("home"), PATH: "/usr/bin:/bin:/usr/sbin" },
    };
    const result = box.hakoWith(options, "run", "--bundle", box.bundle(["env"]), box.id());
    expect(result.status).toBe(0);
    expect(result.stdout).not.toContain("LEAK");
    expect(existsSync(mark)).toBe(false);
  });

  e2e("an empty environment", () => {
    using box = new Box();
    expect(box.hakoWith({ env: {} }, "run", "--bundle", box.bundle(["true"]), box.id()).status).toBe(0);
  });

  e2e("the runtime's environment stays outside", () => {
    using box = new Box();
    const options = { env: { PATH: "/usr/bin:/bin:/usr/sbin", SECRET: "secret" } };
    const result = box.hakoWith(options, "run", "--bundle", box.bundle(["env"]), box.id());
    expect(result.stdout).not.toContain("SECRET");
    expect(result.stdout).toContain("TERM=xterm");
  });
});
