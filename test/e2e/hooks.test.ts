// @cgroup-v2
// Hooks: when they run, what they are told, and what comes of a failing one.
import { describe, expect } from "bun:test";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
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
});
