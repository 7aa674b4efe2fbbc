// @cgroup-v2
// create, start, state, kill, delete, list, run: what they answer, and what they leave behind.
import { describe, expect } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Box, e2e, expectUnchanged, HAKO, hostSnapshot, IS_HAKO, needsHako, SLEEP, until } from "./support";

describe("lifecycle", () => {
  e2e("create, state, start, kill, delete @v2", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const id = box.id();
    const bundle = box.bundle(SLEEP, (config) => {
      config.annotations = { "org.example.a": "b" };
    });
    box.ok("create", "--bundle", bundle, id);
    const created = box.state(id);
    expect(created).toMatchObject({ id, status: "created", bundle, annotations: { "org.example.a": "b" } });
    expect(created.pid).toBeGreaterThan(1);
    expect(created.ociVersion).toMatch(/^1\./);
    box.ok("start", id);
    await until("the program runs", () =>
      readFileSync(`/proc/${created.pid}/cmdline`, "utf8").startsWith("sleep\0"),
    );
    expect(box.state(id)).toMatchObject({ status: "running", pid: created.pid });
    expect(box.hako("start", id).status).toBe(1);
    const refused = box.hako("delete", id);
    expect(refused.status).toBe(1);
    box.ok("kill", id, "KILL");
    await box.waitFor(id, "stopped");
    box.ok("delete", id);
    expect(box.hako("state", id)).toMatchObject({ status: 1 });
    expect(box.hako("state", id).stderr).toContain("does not exist");
    await expectUnchanged(before, box.root);
  });

  e2e("run gives back the program's exit code, and 128+n for a signal @v2", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    expect(box.run(["true"]).status).toBe(0);
    expect(box.run(["sh", "-c", "exit 42"]).status).toBe(42);
    expect(box.run(["sh", "-c", "echo out; echo err >&2; exit 3"])).toEqual({
      status: 3,
      signal: null,
      stdout: "out\n",
      stderr: "err\n",
    });
    // a namespace's first process doesn't die of a signal that it sends itself; its parent's child does
    const killed = box.run(["sleep", "600"], (config) => {
      config.linux.namespaces = config.linux.namespaces.filter((namespace) => namespace.type !== "pid");
      config.process.args = ["sh", "-c", "kill -TERM $$"];
    });
    expect(killed.status).toBe(128 + 15);
    await expectUnchanged(before, box.root);
  });

  e2e("run passes stdin and binary output on", () => {
    using box = new Box();
    const text = "one\ntwo\n".repeat(10_000);
    expect(box.run(["cat"], undefined, { input: text }).stdout).toBe(text);
  });

  e2e("run forwards signals", async () => {
    using box = new Box();
    const id = box.id();
    const ready = box.path("ready");
    mkdirSync(ready);
    const bundle = box.bundle(
      ["sh", "-c", "trap 'exit 7' TERM; touch /ready/yes; while :; do sleep 0.1; done"],
      (config) => {
        config.mounts.push({ destination: "/ready", type: "bind", source: ready, options: ["bind", "rw"] });
      },
    );
    const child = Bun.spawn([HAKO, "--root", box.root, "run", "--bundle", bundle, id], { cwd: "/" });
    await until("the program runs", () => existsSync(join(ready, "yes")));
    child.kill("SIGTERM");
    expect(await child.exited).toBe(7);
    expect(box.hako("state", id).status).toBe(1);
  });

  e2e("run --detach returns, and delete cleans up after it", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const id = box.id();
    const pidFile = box.path("pid");
    box.ok("run", "--detach", "--pid-file", pidFile, "--bundle", box.bundle(SLEEP), id);
    expect(readFileSync(pidFile, "utf8")).toBe(String(box.state(id).pid));
    expect(box.state(id).status).toBe("running");
    box.ok("delete", "--force", id);
    await expectUnchanged(before, box.root);
  });

  e2e("kill takes numbers and names, and TERM by default", async () => {
    using box = new Box();
    for (const words of [[], ["15"], ["TERM"], ["SIGTERM"], ["9"]]) {
      const id = box.id();
      const line = "trap 'exit 0' TERM; echo > /ready; while :; do sleep 0.1; done";
      const bundle = box.bundle(["sh", "-c", line]);
      box.ok("run", "--detach", "--bundle", bundle, id);
      await until("the shell has set its trap", () => existsSync(`${bundle}/rootfs/ready`));
      box.ok("kill", id, ...words);
      await box.waitFor(id, "stopped");
      box.ok("delete", id);
    }
    const id = box.id();
    box.ok("run", "--detach", "--bundle", box.bundle(SLEEP), id);
    expect(box.hako("kill", id, "SIGNONSENSE").status).not.toBe(0);
    box.ok("kill", id, "KILL");
    await box.waitFor(id, "stopped");
    const late = box.hako("kill", id, "TERM");
    expect(late.status).toBe(1);
    expect(late.stderr).toMatch(/container not running|process already finished|no such process/);
  });

  e2e("without a pid namespace delete --force leaves no process @v2", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const id = box.id();
    const bundle = box.bundle(["sh", "-c", "sleep 600 & sleep 601 & sleep 602"], (config) => {
      config.linux.namespaces = config.linux.namespaces.filter((namespace) => namespace.type !== "pid");
    });
    box.ok("run", "--detach", "--bundle", bundle, id);
    await until("all sleep", () => JSON.parse(box.ok("ps", "--format", "json", id).stdout).length >= 3);
    box.ok("delete", "--force", id);
    await expectUnchanged(before, box.root);
  });

  e2e("without a pid namespace kill KILL ends those that the first process left behind @v2", async () => {
    using box = new Box();
    const id = box.started(["sh", "-c", "sleep 600 & exec sleep 601"], (config) => {
      config.linux.namespaces = config.linux.namespaces.filter((namespace) => namespace.type !== "pid");
    });
    const { pid } = box.state(id);
    const others = () => JSON.parse(box.ok("ps", "--format", "json", id).stdout) as number[];
    await until("both sleep", () => others().length === 2);
    const left = others().find((other) => other !== pid);
    process.kill(pid, "SIGKILL");
    await box.waitFor(id, "stopped");
    box.ok("kill", id, "KILL");
    await until("nothing of it is left", () => !existsSync(`/proc/${left}`));
    expect(box.hako("kill", id, "KILL").status).toBe(1);
  });

  e2e("an id in use is refused and the first container lives on", () => {
    using box = new Box();
    const id = box.id();
    box.ok("create", "--bundle", box.bundle(SLEEP), id);
    const second = box.hako("create", "--bundle", box.bundle(SLEEP), id);
    expect(second.status).toBe(1);
    expect(second.stderr).toMatch(/exists|in use/);
    expect(box.state(id).status).toBe("created");
  });

  e2e("delete: unknown ids", () => {
    using box = new Box();
    const unknown = box.hako("delete", "hako-e2e-unknown");
    expect(unknown.status).toBe(1);
    expect(unknown.stderr).toContain("does not exist");
    expect(box.hako("delete", "--force", "hako-e2e-unknown")).toMatchObject({ status: 0, stderr: "" });
  });

  e2e("a created container can be deleted", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const id = box.id();
    box.ok("create", "--bundle", box.bundle(SLEEP), id);
    box.ok("delete", "--force", id);
    await expectUnchanged(before, box.root);
  });

  e2e("list: a table, JSON, ids", () => {
    using box = new Box();
    expect(box.ok("list", "--quiet").stdout).toBe("");
    const ids = [box.id(), box.id()];
    for (const id of ids) box.ok("create", "--bundle", box.bundle(SLEEP), id);
    box.ok("start", ids[1] ?? "");
    expect(box.ok("list", "-q").stdout).toBe(`${ids.join("\n")}\n`);
    const rows = JSON.parse(box.ok("list", "--format", "json").stdout) as { id: string; status: string }[];
    expect(rows.map((row) => [row.id, row.status])).toEqual([
      [ids[0] ?? "", "created"],
      [ids[1] ?? "", "running"],
    ]);
    const [header, ...table] = box.ok("list").stdout.trim().split("\n");
    expect(header).toMatch(/^ID +PID +STATUS +BUNDLE +CREATED +OWNER/);
    expect(table.length).toBe(2);
    expect(box.hako("list", "--format", "xml").status).not.toBe(0);
  });
});

describe("after something went wrong", () => {
  e2e("a program killed from outside, and a bundle that is gone", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const id = box.id();
    const bundle = box.bundle(SLEEP);
    box.ok("run", "--detach", "--bundle", bundle, id);
    process.kill(box.state(id).pid, "SIGKILL");
    await box.waitFor(id, "stopped");
    rmSync(bundle, { recursive: true });
    expect(box.state(id).status).toBe("stopped");
    box.ok("delete", id);
    await expectUnchanged(before, box.root);
  });

  e2e("an unreadable entry of the state directory stops nobody", () => {
    using box = new Box();
    const id = box.id();
    box.ok("create", "--bundle", box.bundle(SLEEP), id);
    const [empty, garbage] = [box.id(), box.id()];
    mkdirSync(join(box.root, empty));
    mkdirSync(join(box.root, garbage));
    for (const file of readdirSync(join(box.root, id)))
      writeFileSync(join(box.root, garbage, file), "{ garbage");
    const rows = JSON.parse(box.ok("list", "--format", "json").stdout) as { id: string; status: string }[];
    expect(rows.find((row) => row.id === id)?.status).toBe("created");
    for (const broken of [empty, garbage]) box.ok("delete", "--force", broken);
    const json = box.ok("list", "--format", "json").stdout;
    expect(JSON.parse(json).length).toBe(1);
    expect(json.trim()).not.toContain("\n");
  }, [needsHako]);

  e2e("a broken record: what runs is ended all the same, by what its config.json says", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const id = box.started();
    const { pid } = box.state(id);
    writeFileSync(join(box.root, id, "state.json"), '{"id":');
    expect(box.hako("delete", id).stderr).toContain("is broken");
    box.ok("delete", "--force", id);
    await until("its process is gone", () => !existsSync(`/proc/${pid}`));
    await expectUnchanged(before, box.root);
  }, [needsHako]);

  e2e("a record of runc's is left alone", () => {
    using box = new Box();
    const id = box.id();
    mkdirSync(join(box.root, id), { recursive: true });
    const file = join(box.root, id, "state.json");
    writeFileSync(file, JSON.stringify({ id, init_process_pid: 1, cgroup_paths: {} }));
    for (const words of [["list"], ["state", id], ["delete", id], ["delete", "--force", id]]) {
      expect(box.hako(...words).stderr).toContain(`container "${id}" is runc's`);
    }
    expect(existsSync(file)).toBe(true);
    rmSync(join(box.root, id), { recursive: true });
  }, [needsHako]);

  e2e("a record of a newer format, or of a driver that is not there, is left alone", () => {
    using box = new Box();
    const [id, other] = [box.started(), box.started()];
    const { pid } = box.state(id);
    const file = join(box.root, id, "state.json");
    const record = readFileSync(file, "utf8");
    for (const [change, what] of [
      [{ format: 2 }, "of format 2, and this hako knows up to 1"],
      [{ driver: "other" }, 'of the driver "other", which this hako does not have'],
    ] as const) {
      writeFileSync(file, JSON.stringify({ ...JSON.parse(record), ...change }));
      const said = `container "${id}": ${file} is ${what}`;
      for (const words of [
        ["state"],
        ["kill"],
        ["exec"],
        ["ps"],
        ["pause"],
        ["delete"],
        ["delete", "--force"],
      ]) {
        const result = box.hako(...words, id, ...(words[0] === "exec" ? ["true"] : []));
        expect(result.stderr).toContain(said);
        expect(result.stderr).toContain(
          `(delete it with the hako that made it; if that is gone, end its process ${pid}, remove its cgroups and ${dirname(file)})`,
        );
        expect(result.status).not.toBe(0);
      }
      const list = box.ok("list", "--quiet");
      expect([list.stdout, list.stderr]).toEqual([`${other}\n`, expect.stringContaining(said)]);
      expect(box.ok("sandbox", "list").stderr).toContain(said);
      expect(box.hako("create", "--bundle", box.bundle(SLEEP), id).stderr).toContain("already exists");
    }
    writeFileSync(file, record);
    expect(box.state(id)).toMatchObject({ status: "running", pid });
  }, [needsHako]);

  e2e("records from before they had a number of their format go on", () => {
    using box = new Box();
    const before = (id: string) => {
      const file = join(box.root, id, "state.json");
      const { format, ...rest } = JSON.parse(readFileSync(file, "utf8"));
      expect(format).toBe(1);
      writeFileSync(file, JSON.stringify(rest));
    };
    const id = box.id();
    box.ok("create", "--bundle", box.bundle(SLEEP), id);
    before(id);
    expect(box.state(id).status).toBe("created");
    box.ok("start", id);
    expect(box.ok("exec", id, "echo", "x").stdout).toBe("x\n");
    box.ok("pause", id);
    expect(box.state(id).status).toBe("paused");
    box.ok("resume", id);
    box.ok("update", "--pids-limit", "50", id);
    expect(box.ok("ps", "--format", "json", id).stdout).toContain(String(box.state(id).pid));
    expect(box.ok("events", "--stats", id).stdout).toContain('"type":"stats"');
    box.ok("kill", id, "KILL");
    box.ok("delete", "--force", id);
    const stopped = box.id();
    box.ok("create", "--bundle", box.bundle(["true"]), stopped);
    before(stopped);
    box.ok("delete", stopped);
  }, [needsHako]);

  e2e("processes that outlive the program end with kill --all and delete @v2", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const id = box.id();
    const bundle = box.bundle(["sh", "-c", "sleep 600 & exit 0"], (config) => {
      config.linux.namespaces = config.linux.namespaces.filter((namespace) => namespace.type !== "pid");
    });
    box.ok("run", "--detach", "--bundle", bundle, id);
    await box.waitFor(id, "stopped");
    box.ok("kill", "--all", id, "KILL");
    box.ok("delete", id);
    await expectUnchanged(before, box.root);
  });
});

describe("bad input leaves nothing behind", () => {
  const bad: [string, (box: Box) => string[]][] = [
    ["no bundle", (box) => ["create", "--bundle", box.path("missing"), box.id()]],
    [
      "bundle without config.json",
      (box) => {
        mkdirSync(box.path("empty"));
        return ["create", "--bundle", box.path("empty"), box.id()];
      },
    ],
    [
      "config.json is not JSON",
      (box) => {
        const bundle = box.bundle(SLEEP);
        writeFileSync(join(bundle, "config.json"), "{");
        return ["create", "--bundle", bundle, box.id()];
      },
    ],
    [
      "no rootfs",
      (box) => ["create", "--bundle", box.bundle(SLEEP, (config) => (config.root.path = "none")), box.id()],
    ],
    [
      "unknown namespace",
      (box) => [
        "create",
        "--bundle",
        box.bundle(SLEEP, (config) => config.linux.namespaces.push({ type: "moon" })),
        box.id(),
      ],
    ],
    [
      "mount of an unknown type",
      (box) => [
        "create",
        "--bundle",
        box.bundle(SLEEP, (config) => config.mounts.push({ destination: "/x", type: "moonfs", source: "x" })),
        box.id(),
      ],
    ],
    ["an id that leaves the directory", (box) => ["create", "--bundle", box.bundle(SLEEP), "../up"]],
    ["an id with a slash", (box) => ["create", "--bundle", box.bundle(SLEEP), "a/b"]],
    [
      "pid file in no directory",
      (box) => ["create", "--pid-file", box.path("no/pid"), "--bundle", box.bundle(SLEEP), box.id()],
    ],
    [
      "console socket that isn't there",
      (box) => [
        "create",
        "--console-socket",
        box.path("none"),
        "--bundle",
        box.bundle(SLEEP, (config) => (config.process.terminal = true)),
        box.id(),
      ],
    ],
    ["program that doesn't exist", (box) => ["run", "--bundle", box.bundle(["/no/such/program"]), box.id()]],
    ["program that isn't in PATH", (box) => ["run", "--bundle", box.bundle(["nosuchprogram"]), box.id()]],
    ["program that isn't executable", (box) => ["run", "--bundle", box.bundle(["/etc/passwd"]), box.id()]],
    [
      "working directory that is a file",
      (box) => [
        "run",
        "--bundle",
        box.bundle(["true"], (config) => (config.process.cwd = "/etc/passwd")),
        box.id(),
      ],
    ],
  ];
  for (const [name, words] of bad) {
    e2e(`${name}`, async () => {
      using box = new Box();
      const line = words(box);
      const before = hostSnapshot(box.root);
      const result = box.hako(...line);
      expect(result.status).toBeGreaterThan(0);
      expect(result.status).toBeLessThan(128);
      expect(result.stderr.trim()).not.toBe("");
      if (IS_HAKO) expect(result.stderr.trim().split("\n").length).toBe(1);
      await expectUnchanged(before, box.root);
    });
  }

  e2e("errors that podman and docker read", () => {
    using box = new Box();
    expect(box.run(["nosuchprogram"]).stderr).toContain("executable file not found in");
    expect(box.run(["/no/such/program"]).stderr).toContain("no such file or directory");
    expect(box.run(["/etc/passwd"]).stderr).toContain("permission denied");
    const log = box.path("log.json");
    const result = box.hako("--log", log, "--log-format", "json", "start", "hako-e2e-unknown");
    expect(result.status).toBe(1);
    const line = JSON.parse(readFileSync(log, "utf8")) as { level: string; msg: string; time: string };
    expect(line).toMatchObject({ level: "error", msg: expect.stringContaining("does not exist") });
    expect(Number.isNaN(Date.parse(line.time))).toBe(false);
  });
});

describe("limits apply to the program, not to hako @v2", () => {
  e2e("8 MiB of memory", () => {
    using box = new Box();
    const result = box.run(["true"], (config) => {
      config.linux.resources.memory = { limit: 8 << 20 };
    });
    expect(result).toMatchObject({ status: 0, stderr: "" });
  }, [needsHako]);

  e2e("1 MiB of memory and what busybox needs", () => {
    using box = new Box();
    const result = box.run(["true"], (config) => {
      config.linux.resources.memory = { limit: 3 << 20 };
    });
    expect(result).toMatchObject({ status: 0, stderr: "" });
  }, [needsHako]);

  e2e("one process", () => {
    using box = new Box();
    const one = (config: { linux: { resources: Record<string, unknown> } }): void => {
      config.linux.resources.pids = { limit: 1 };
    };
    expect(box.run(["true"], one)).toMatchObject({ status: 0, stderr: "" });
    expect(box.run(["sh", "-c", "(true) && echo forked"], one).stdout).toBe("");
  }, [needsHako]);
});

e2e("create and start say 1 for a program that can't be executed", () => {
  using box = new Box();
  for (const program of ["nosuchprogram", "/no/such", "/etc/passwd"]) {
    const id = box.id();
    expect(box.hako("create", "--bundle", box.bundle([program]), id).status).toBe(1);
    expect(box.hako("state", id).status).toBe(1);
  }
});
