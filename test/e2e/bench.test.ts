// scripts/bench: what it prints.
import { describe, expect } from "bun:test";
import { join } from "node:path";
import type { Row } from "../../scripts/bench-measure";
import { e2e, execute, HAKO, needsHako, needsProgram, REPOSITORY, type Result, TIME_LIMIT } from "./support";

const RUNS = 2;

function bench(...args: string[]): Result {
  const env = { PATH: process.env.PATH ?? "", HAKO };
  return execute(join(REPOSITORY, "scripts/bench"), args, { cwd: REPOSITORY, env, timeout: 4 * TIME_LIMIT });
}

const TIMES = [
  ...["version", "run", "run, profile", "create", "start", "delete", "create, start, delete"],
  ...["state", "list", "kill", "exec"],
];
const MEMORY = ["created container", "run in the foreground", "each of 20 runs", "exec in the foreground"];

describe("scripts/bench", () => {
  e2e(
    "--json: each row with its medians, for hako, another build, and each runtime that there is",
    () => {
      const result = bench(
        "--runs",
        `${RUNS}`,
        "--only",
        "run,commands,exec,memory",
        "--with",
        `other=${HAKO}`,
        "--json",
      );
      const skipped = result.stderr.split("\n").filter((line) => line.startsWith("skipped: "));
      expect([result.status, skipped.filter((line) => /hako|other/.test(line))]).toEqual([0, []]);
      const { machine, runtimes, rows } = JSON.parse(result.stdout) as {
        machine: Record<string, unknown>;
        runtimes: { name: string; version: string }[];
        rows: Row[];
      };
      expect(machine.kernel).toBeString();
      expect(machine.pageFault).toBeGreaterThan(50);
      expect(runtimes.slice(0, 2).map(({ name }) => name)).toEqual(["hako", "other"]);
      for (const { version } of runtimes) expect(version).toMatch(/\d+\.\d+/);
      const tasks = new Set(rows.map(({ task }) => task));
      const profile = skipped.some((line) => line.includes("profile"));
      const expected = [...TIMES, ...MEMORY];
      expect([...tasks]).toEqual(expected.filter((task) => !profile || task !== "run, profile"));
      for (const { task, runtime, runs, values } of rows) {
        const isMemory = MEMORY.includes(task);
        expect([task, runtime, Object.keys(values)]).toEqual([
          task,
          runtime,
          isMemory ? ["pss", "private"] : ["wall", "cpu", "faults"],
        ]);
        expect(runs).toBe(RUNS);
        for (const { min, lower, median, upper } of Object.values(values)) {
          expect(min).toBeGreaterThan(0);
          expect([min, lower, median, upper].toSorted((a, b) => a - b)).toEqual([min, lower, median, upper]);
        }
      }
      // a whole is the sum of its parts, within what medians of sums differ from sums of medians
      const faults = (task: string) => rows.find((row) => row.task === task)?.values.faults?.median ?? 0;
      const parts = faults("create") + faults("start") + faults("delete");
      expect(faults("create, start, delete") / parts).toBeWithin(0.8, 1.2);
    },
    [needsHako],
    5 * TIME_LIMIT,
  );

  e2e("a table for people, with ratios", () => {
    const { status, stdout } = bench("--runs", "1", "--only", "exec");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^\d+ x .*; Linux \d.*; cgroup v\d; .*\na page fault: \d+\.\d\d us\nhako: .*\n/);
    expect(stdout).toMatch(/^exec +hako +\d+\.\d +\d+\.\d/m);
  }, [needsHako]);

  e2e("words that mean nothing are refused", () => {
    expect(bench("--only", "nothing").stderr).toContain(
      "--only nothing: the groups are floor, run, commands",
    );
    expect(bench("--with", "/usr/bin/hako").stderr).toContain("--with /usr/bin/hako: not NAME=PATH");
    expect(bench("--with", `hako=${HAKO}`).stderr).toContain("there is a hako already");
    expect(bench("--runs", "none")).toMatchObject({ status: 1, stdout: "" });
  }, [needsHako]);
});

e2e("scripts/bench-sandboxes: hako beside others, as root and as a user", () => {
  const args = ["--runs", "1", "--only", "time,memory", "--json"];
  const env = { PATH: process.env.PATH ?? "", HAKO };
  const script = join(REPOSITORY, "scripts/bench-sandboxes");
  const run = (...words: string[]) =>
    execute(script, words, { cwd: REPOSITORY, env, timeout: 4 * TIME_LIMIT });
  const { status, stdout } = run(...args);
  expect(status).toBe(0);
  const { rows } = JSON.parse(stdout) as { rows: Row[] };
  const ofHako = rows.filter(({ runtime }) => runtime === "hako");
  const tasks = ["true", "sleep", "sleep, a rule"];
  const expected = ["root", "user"].flatMap((who) => tasks.map((task) => `${task}, ${who}`));
  expect(ofHako.map(({ task }) => task)).toEqual(expected);
  for (const { task, values } of ofHako.filter(({ task }) => /^sleep, (root|user)$/.test(task))) {
    // docs/sandboxing.md: an attendant and the first process, of some pages each
    expect([task, values.processes?.median]).toEqual([task, 2]);
    expect(values.private?.median).toBeLessThan(128);
  }
  expect(run("--only", "nothing").stderr).toContain("--only nothing: the groups are time, at-once");
}, [needsHako, needsProgram("setpriv")]);
