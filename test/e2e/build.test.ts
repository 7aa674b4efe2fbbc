// build.ts: the executable as it is built and as Bun compiles it (--plain) behave alike, and one is not taken for the other.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parse } from "../../scripts/elf";
import { AS_USER, Home, NEEDS } from "./rootless-home";
import { Box, e2e, execute, HAKO, needsHako, needsProgram, REPOSITORY, type Result } from "./support";

const LONG = 400_000;

/** Builds here, in a mount namespace where `prepare` was done. */
function build(outdir: string, words: string[], prepare = ":", env: Record<string, string> = {}): Result {
  const line = `${prepare} && exec "$@"`;
  const command = [process.execPath, "run", "build.ts", "--outdir", outdir, ...words];
  return execute("unshare", ["--mount", "sh", "-euc", line, "sh", ...command], {
    cwd: REPOSITORY,
    env: { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "/root", ...env },
    timeout: LONG,
  });
}

/** With more, Bun's table of the executable's files costs each command page faults (docs/decisions/patched-executable.md, "Why few chunks"). */
const MOST_FILES = 424;

describe("build.ts", () => {
  e2e("the executable has few files", () => {
    const names = readFileSync(HAKO, "latin1").matchAll(/\/\$bunfs\/root\/[\w.-]+\.js/g);
    const files = new Set(Array.from(names, ([name]) => name));
    expect(files.size).toBeGreaterThan(100);
    expect(files.size).toBeLessThanOrEqual(MOST_FILES);
  });
  let directory: string;
  /** Made at the first call. */
  const plain = () => {
    const outdir = join(directory, "plain");
    if (!existsSync(outdir)) expect(build(outdir, ["--plain"])).toMatchObject({ status: 0, stderr: "" });
    return join(outdir, "hako");
  };
  beforeAll(() => {
    directory = mkdtempSync("/tmp/hako-e2e-build-");
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  e2e(
    "--plain changes nothing of what Bun has compiled, and commands do the same",
    () => {
      // a segment of its own for each piece of code before Bun's first instruction
      const segments = (file: string) => parse(readFileSync(file)).segments.length;
      expect(segments(plain())).toBeLessThan(segments(HAKO));

      using box = new Box();
      const bundle = box.bundle([
        "sh",
        "-c",
        "id; pwd; env; grep -E '^(Cap|Sig...:|NoNew|Seccomp:)' /proc/self/status; exit 7",
      ]);
      const [created, running] = [box.id(), box.started()];
      const calls = [
        ["--version"],
        ["--help"],
        ["state", "nothing"],
        ["--nope"],
        ["spec", "--bundle", box.path("nowhere")],
        ["validate", "--bundle", bundle, created],
        ["features"],
        ["run", "--bundle", bundle, created],
        ["run", "--rootfs", "/", created, "--", "/bin/sh", "-c", "id; ulimit -a; exit 3"],
        ["create", "--bundle", bundle, created],
        ["start", created],
        ["exec", running, "sh", "-c", "id; grep -E '^(Cap|Sig...:)' /proc/self/status; exit 5"],
        ["delete", "--force", created],
        ["list", "--quiet"],
      ];
      const results = (executable: string) =>
        calls.map((call) => {
          const { stdout, ...rest } = execute(executable, ["--root", box.root, ...call]);
          // the tests' executable may have been built before the last commit
          return { call, stdout: stdout.replaceAll(/\b[0-9a-f]{40}(-dirty)?/g, "COMMIT"), ...rest };
        });
      expect(results(plain())).toEqual(results(HAKO));
    },
    [needsHako, needsProgram("unshare")],
    LONG,
  );

  /** How many functions a command compiles that are not in the executable as bytecode. */
  function compiled([command = "", ...words]: string[], env: Record<string, string>): number | undefined {
    const told = execute(command, words, { env: { ...env, BUN_JSC_reportBytecodeCompileTimes: "1" } });
    expect(told.status).toBe(0);
    return `${told.stdout}${told.stderr}`.match(/^Compiled /gm)?.length;
  }

  e2e(
    "short commands compile little: Bun's own start and `require`, and what disposes of `using`",
    () => {
      using box = new Box();
      const running = box.started();
      const env = { PATH: process.env.PATH ?? "" };
      const count = (...call: string[]) => compiled([plain(), "--root", box.root, ...call], env);
      expect(count("list", "--quiet")).toBeLessThanOrEqual(3);
      expect(count("exec", running, "true")).toBeLessThanOrEqual(7);
      expect(count("run", "--rootfs", "/", box.id(), "--", "true")).toBeLessThanOrEqual(7);
    },
    [needsHako, needsProgram("unshare")],
    LONG,
  );

  e2e(
    "so does an ordinary user's run in the host's files",
    () => {
      using home = new Home();
      copyFileSync(plain(), home.hakoPath);
      const run = [...AS_USER, home.hakoPath, "run", "--rootfs", "/", "--", "true"];
      expect(compiled(run, home.env)).toBeLessThanOrEqual(8);
    },
    NEEDS,
    LONG,
  );

  e2e(
    "says so where a start can't be rehearsed, and leaves no executable; --plain makes one",
    () => {
      const scratch = join(directory, "noexec");
      mkdirSync(scratch);
      const prepare = `mount -t tmpfs -o noexec tmpfs ${scratch}`;
      const env = { TMPDIR: scratch };
      const out = join(directory, "out");
      const { status, stdout, stderr } = build(out, [], prepare, env);
      expect([status, stdout]).toEqual([1, ""]);
      expect(stderr).toMatch(
        /^build: a start can't be rehearsed here: EACCES.*\nbuild: --plain leaves that out.*\n$/,
      );
      expect(existsSync(out) ? readdirSync(out) : []).toEqual([]);
      expect(build(out, ["--plain"], prepare, env)).toMatchObject({ status: 0, stderr: "" });
      expect(execute(join(out, "hako"), ["--version"]).status).toBe(0);
    },
    [needsHako, needsProgram("unshare")],
    LONG,
  );
});
