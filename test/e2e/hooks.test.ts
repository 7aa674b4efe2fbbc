// @cgroup-v2
// Hooks: when they run, what they are told, and what comes of a failing one.
import { describe, expect } from "bun:test";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expectError } from "./explaining";
import { Box, e2e, expectUnchanged, hostSnapshot, IS_HAKO, needsHako } from "./support";

describe("hooks", () => {
  const KINDS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

  /** A hook that appends its kind and the state from its stdin to a file. */
  function recorder(kind: string, file: string): { path: string; args: string[]; env: string[] } {
    return {
      path: "/bin/sh",
      args: ["sh", "-c", `read -r state; echo "${kind} $MARK $state" >> ${file}`],
      env: ["MARK=mark", "PATH=/bin:/usr/bin"],
    };
  }

  e2e("of all six kinds run in order, with the state on stdin", async () => {
    using box = new Box();
    const id = box.id();
    const shared = box.path("shared");
    mkdirSync(shared);
    const bundle = box.bundle(["true"], (config) => {
      config.mounts.push({ destination: "/shared", type: "bind", source: shared, options: ["bind", "rw"] });
      config.hooks = Object.fromEntries(
        KINDS.map((kind) => [
          kind,
          [recorder(kind, kind === "startContainer" ? "/shared/log" : `${shared}/log`)],
        ]),
      );
    });
    box.ok("create", "--bundle", bundle, id);
    const { pid } = box.state(id);
    box.ok("start", id);
    await box.waitFor(id, "stopped");
    box.ok("delete", id);
    const lines = readFileSync(join(shared, "log"), "utf8").trim().split("\n");
    const seen = lines.map((line) => {
      const [kind = "", mark, ...state] = line.split(" ");
      expect(mark).toBe("mark");
      return { kind, state: JSON.parse(state.join(" ")) as Record<string, unknown> };
    });
    expect(seen.map((entry) => entry.kind).sort()).toEqual([...KINDS].sort());
    // the program may have ended before poststart hooks run; the others have a fixed order
    const order = seen.map((entry) => entry.kind).filter((kind) => kind !== "poststart");
    expect(order).toEqual(KINDS.filter((kind) => kind !== "poststart"));
    for (const { kind, state } of seen) {
      expect(state).toMatchObject({ id, bundle });
      expect(String(state.ociVersion)).toMatch(/^1\./);
      if (["prestart", "createRuntime"].includes(kind)) expect(state.pid).toBe(pid);
      const status: Record<string, string[]> = {
        prestart: ["creating", "created"],
        createRuntime: ["creating", "created"],
        createContainer: ["creating", "created"],
        startContainer: ["created"],
        poststart: ["running"],
        poststop: ["stopped"],
      };
      if (IS_HAKO) expect(status[kind]).toContain(String(state.status));
    }
  });

  e2e("in the container begin in its root, those at start with the program's environment", () => {
    using box = new Box();
    const bundle = box.bundle(["true"], (config) => {
      config.process.env = ["PATH=/bin:/usr/bin", "WORD=program"];
      config.hooks = {
        createContainer: [{ path: "/bin/sh", args: ["sh", "-c", "echo =$WORD > ./tmp/create"] }],
        startContainer: [
          { path: "/bin/sh", args: ["sh", "-c", "echo $WORD $HOME > ./tmp/start"] },
          { path: "/bin/sh", args: ["sh", "-c", "echo =$WORD > ./tmp/own"], env: ["OWN=1"] },
        ],
      };
    });
    box.ok("run", "--bundle", bundle, box.id());
    const written = ["create", "start", "own"].map((name) =>
      readFileSync(join(bundle, "rootfs/tmp", name), "utf8"),
    );
    expect(written).toEqual(["=\n", "program /root\n", "=\n"]);
  });

  for (const kind of KINDS) {
    const fatal = kind !== "poststop";
    e2e(
      `a failing ${kind} hook ${fatal ? "stops the container" : "is only a warning"}`,
      async () => {
        using box = new Box();
        const before = hostSnapshot(box.root);
        const mark = box.path("mark");
        const result = box.run(["echo", "ran"], (config) => {
          config.hooks = {
            [kind]: [
              { path: "/bin/sh", args: ["sh", "-c", "echo broken >&2; exit 9"] },
              { path: "/bin/sh", args: ["sh", "-c", `cat >/dev/null; echo next > ${mark}`] },
            ],
          };
        });
        if (fatal) {
          expect(result.status).toBeGreaterThan(0);
          // the program may have run before poststart hooks do
          if (kind !== "poststart") expect(result.stdout).toBe("");
          expect(result.stderr).toContain("hook");
          expect(result.stderr).toContain("9");
          expect(existsSync(mark)).toBe(false);
        } else {
          expect(result).toMatchObject({ status: 0, stdout: "ran\n" });
          expect(existsSync(mark)).toBe(true);
        }
        await expectUnchanged(before, box.root);
      },
      kind === "poststart" || kind === "poststop" || kind === "startContainer" ? [needsHako] : [],
    );
  }

  e2e("a failing poststart hook of start leaves a stopped container, whose delete runs poststop hooks", async () => {
    // runtime.md "Lifecycle": it goes on at delete; runc runs poststart hooks at create, which leaves nothing when it fails
    using box = new Box();
    const mark = box.path("mark");
    const id = box.id();
    const bundle = box.bundle(["sleep", "600"], (config) => {
      config.hooks = {
        poststart: [{ path: "/bin/false" }],
        poststop: [{ path: "/bin/sh", args: ["sh", "-c", `cat > ${mark}`] }],
      };
    });
    box.ok("create", "--bundle", bundle, id);
    expectError(box.hako("start", id), "config /hooks/poststart/0", "exited with status 1");
    expect(box.state(id).status).toBe("stopped");
    expect(existsSync(mark)).toBe(false);
    box.ok("delete", id);
    expect(JSON.parse(readFileSync(mark, "utf8"))).toMatchObject({ id, status: "stopped" });
  }, [needsHako]);

  e2e("a hook that takes too long is ended", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const start = Date.now();
    const result = box.run(["true"], (config) => {
      config.hooks = {
        createRuntime: [{ path: "/bin/sleep", args: ["sleep", "100"], timeout: 1 }],
      };
    });
    expect(result.status).toBe(1);
    expect(Date.now() - start).toBeLessThan(20_000);
    await expectUnchanged(before, box.root);
  });

  e2e("before the program see its process in the container's cgroups @v2", async () => {
    using box = new Box();
    const out = box.path("cgroups");
    mkdirSync(out);
    const look = (kind: string, pid: string) => ({
      path: "/bin/sh",
      args: ["sh", "-c", `cat /proc/${pid}/cgroup > ${out}/${kind}; cat >/dev/null`],
    });
    const ofState = '$(sed "s/.*\\"pid\\":\\([0-9]*\\).*/\\1/")';
    const id = box.id();
    const bundle = box.bundle(["sleep", "600"], (config) => {
      config.hooks = {
        prestart: [look("prestart", ofState)],
        createRuntime: [look("createRuntime", ofState)],
        createContainer: [look("createContainer", "self")],
      };
    });
    box.ok("create", "--bundle", bundle, id);
    const program = readFileSync(`/proc/${box.state(id).pid}/cgroup`, "utf8");
    for (const kind of ["prestart", "createRuntime", "createContainer"]) {
      expect([kind, readFileSync(join(out, kind), "utf8")]).toEqual([kind, program]);
    }
    expect(program).toContain(box.names);
  });

  for (const [what, args, last] of [
    ["a hook", ["true"], "/bin/false"],
    ["the program", ["/nosuch"], "/bin/true"],
  ] as const) {
    e2e(`create fails for ${what}: poststop hooks clean up what the first ones made`, async () => {
      using box = new Box();
      const before = hostSnapshot(box.root);
      const [made, kept] = [box.path("made"), box.path("kept")];
      const id = box.id();
      const bundle = box.bundle([...args], (config) => {
        config.hooks = {
          prestart: [{ path: "/bin/sh", args: ["sh", "-c", `cat >/dev/null; echo > ${made}`] }],
          poststop: [{ path: "/bin/sh", args: ["sh", "-c", `cat > ${kept}; rm ${made}`] }],
          createRuntime: [{ path: last }],
        };
      });
      const result = box.hako("create", "--bundle", bundle, id);
      expect(result.status).not.toBe(0);
      expect(existsSync(made)).toBe(false);
      expect(JSON.parse(readFileSync(kept, "utf8"))).toMatchObject({ id, status: "stopped" });
      await expectUnchanged(before, box.root);
    });
  }

  e2e("the container's process is killed while it is made: create says so, and nothing is left", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const kill = "kill -KILL $(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/')";
    const result = box.run(["true"], (config) => {
      config.hooks = { createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", kill] }] };
    });
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(/the container's process was killed by signal 9 before it was ready/);
    await expectUnchanged(before, box.root);
  }, [needsHako]);

  e2e("create fails before any hook: there is nothing that poststop could clean up", () => {
    using box = new Box();
    const mark = box.path("mark");
    const result = box.run(["true"], (config) => {
      config.mounts.push({ destination: "/data", type: "bind", source: "/nosuch", options: ["bind"] });
      config.hooks = { poststop: [{ path: "/bin/touch", args: ["touch", mark] }] };
    });
    expect(result.status).toBe(1);
    expect(existsSync(mark)).toBe(false);
  }, [needsHako]);

  e2e("one that says very much fails nothing", () => {
    using box = new Box();
    const args = ["sh", "-c", "cat >/dev/null; head -c 3000000 /dev/zero"];
    const result = box.run(["echo", "ran"], (config) => {
      config.hooks = { createRuntime: [{ path: "/bin/sh", args }], poststop: [{ path: "/bin/sh", args }] };
    });
    expect(result).toMatchObject({ status: 0, stdout: "ran\n" });
  });
});
