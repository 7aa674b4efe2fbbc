// What is told of the end of a run: limits, and what cgroups have counted. The figures come from directories that stand for cgroups.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { durationText, parseDuration } from "../../src/base/duration";
import { HakoError } from "../../src/base/errors";
import { parseSize, sizeText } from "../../src/base/size";
import type { CgroupRecord } from "../../src/cgroup";
import { NOTHING_COUNTED, spentIn } from "../../src/cgroup/stats/spent";
import { atEndOf, timeLimitOf } from "../../src/commands/flags/watch";
import { TimeLimit } from "../../src/container/io/time-limit";
import { shortageText } from "../../src/container/run/limit-lines";
import { RunReport } from "../../src/container/run/run-report";
import { containerId } from "../../src/oci/id";

let root = "";
beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/hako-test-run-end-`);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** A container's directory in each hierarchy, with these files; "" is the unified one. */
function cgroups(files: Record<string, Record<string, string>>): CgroupRecord {
  const nodes = Object.entries(files).map(([name, contents]) => {
    const mountpoint = `${root}/${name === "" ? "unified" : name}`;
    mkdirSync(`${mountpoint}/box`, { recursive: true });
    for (const [file, text] of Object.entries(contents)) writeFileSync(`${mountpoint}/box/${file}`, text);
    const unified = name === "";
    return { mountpoint, name, controllers: unified ? [] : [name], unified, path: "/box", made: [] };
  });
  return { version: Object.keys(files).some((name) => name !== "") ? "v1" : "v2", nodes };
}

describe("what cgroups have counted", () => {
  const V1 = {
    memory: {
      "memory.max_usage_in_bytes": "33554432\n",
      "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    },
    cpuacct: { "cpuacct.stat": "user 12\nsystem 3\n" },
    pids: { "pids.current": "0\n" },
  };

  test("on v1: a kernel without pids.peak says nothing of it", () => {
    expect(spentIn(cgroups(V1))).toEqual({
      cpuUserMs: 120,
      cpuSystemMs: 30,
      memoryPeakBytes: 33554432,
      pidsPeak: undefined,
      memoryKills: 2,
    });
  });

  test("on v1 with a unified hierarchy beside it, whose processor time is exact", () => {
    const record = cgroups({ ...V1, "": { "cpu.stat": "usage_usec 3\nuser_usec 1500\nsystem_usec 500\n" } });
    expect(spentIn(record)).toMatchObject({ cpuUserMs: 1.5, cpuSystemMs: 0.5, memoryPeakBytes: 33554432 });
  });

  test("on v2", () => {
    const files = {
      "cgroup.controllers": "cpu memory pids\n",
      "cpu.stat": "usage_usec 5\nuser_usec 3000\nsystem_usec 2000\n",
      "memory.peak": "4096\n",
      "memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n",
      "pids.peak": "7\n",
    };
    const all = { cpuUserMs: 3, cpuSystemMs: 2, memoryPeakBytes: 4096, pidsPeak: 7, memoryKills: 1 };
    expect(spentIn(cgroups({ "": files }))).toEqual(all);
    // before Linux 5.19 and 6.6
    rmSync(`${root}/unified/box/memory.peak`);
    rmSync(`${root}/unified/box/pids.peak`);
    const { "memory.peak": _, "pids.peak": __, ...older } = files;
    expect(spentIn(cgroups({ "": older }))).toEqual({
      ...all,
      memoryPeakBytes: undefined,
      pidsPeak: undefined,
    });
  });

  test("nothing is known without cgroups", () => {
    const record = cgroups({ memory: {} });
    const skipped = record.nodes.map((node) => ({ ...node, skipped: "not allowed" }));
    expect(spentIn({ ...record, nodes: skipped })).toEqual(NOTHING_COUNTED);
    expect(spentIn({ ...record, nodes: [] })).toEqual(NOTHING_COUNTED);
  });
});

describe("limits in words", () => {
  test.each(["64M", "1G", "1536M", "96K", "4097", "0", "1T"])("%s", (text) => {
    expect(sizeText(parseSize(text) ?? -1)).toBe(text);
  });
  test.each(["30s", "1m30s", "500ms", "1.5s", "1h", "596h", "1h1ms"])("%s", (text) => {
    const milliseconds = parseDuration(text) ?? -1;
    expect(parseDuration(durationText(milliseconds))).toBe(milliseconds);
    if (text !== "1h1ms") expect(durationText(milliseconds)).toBe(text);
  });

  test("whose limit of memory it was", () => {
    const own = { cgroup: "/c/box", file: "memory.max", limit: "67108864", of: "container" } as const;
    expect(shortageText(own)).toBe("memory limit of 64M reached");
    expect(shortageText({ ...own, file: "memory.memsw.limit_in_bytes" })).toBe(
      "limit of memory and swap of 64M reached",
    );
    expect(shortageText({ ...own, cgroup: "/c", of: "cgroup" })).toBe(
      "memory limit of 64M of cgroup /c reached",
    );
    expect(shortageText({ ...own, of: "machine" })).toBe("memory limit of 64M of the machine reached");
    expect(shortageText({ ...own, limit: "unknown" })).toBe("memory limit of unknown reached");
    expect(shortageText(undefined)).toBe("a process was killed for lack of memory, of the host's perhaps");
  });
});

describe("the flags", () => {
  const flags = { timeout: undefined, grace: undefined, report: undefined, quiet: false, detach: false };

  test("--timeout and --grace", () => {
    expect(timeLimitOf(flags)).toBeUndefined();
    expect(timeLimitOf({ ...flags, timeout: "30s" })).toEqual({ milliseconds: 30_000, grace: 0 });
    expect(timeLimitOf({ ...flags, timeout: "1m", grace: "5s" })).toEqual({
      milliseconds: 60_000,
      grace: 5000,
    });
    for (const wrong of [
      { grace: "5s" },
      { timeout: "1m", grace: "soon" },
      { timeout: "1m", grace: "0s" },
      { timeout: "" },
      { timeout: "1s", detach: true },
    ])
      expect(() => timeLimitOf({ ...flags, ...wrong })).toThrow(HakoError);
  });

  test("nothing is done at the end where nothing is told", () => {
    const nothing = { time: undefined, memory: false };
    const none = { limits: nothing, network: false, unprotected: false, report: undefined };
    const memory = { limits: { time: undefined, memory: true } };
    const time = { limits: { time: 1000, memory: false } };
    expect(atEndOf(flags, none)).toBeUndefined();
    expect(
      atEndOf({ ...flags, quiet: true }, { ...none, limits: { time: 1000, memory: true } }),
    ).toBeUndefined();
    expect(atEndOf(flags, { ...none, ...memory })).toBeFunction();
    expect(atEndOf(flags, { ...none, ...time })).toBeFunction();
    expect(atEndOf(flags, { ...none, unprotected: true })).toBeFunction();
    expect(atEndOf({ ...flags, quiet: true }, { ...none, unprotected: true })).toBeUndefined();
    using report = new RunReport(`${root}/report`);
    expect(atEndOf({ ...flags, quiet: true }, { ...none, report })).toBeFunction();
  });
});

describe("the time limit", () => {
  const record = (grace: number, broken = false, asked = () => {}) => {
    const done: string[] = [];
    const ends = {
      ask() {
        done.push("ask");
        asked();
      },
      kill() {
        done.push("kill");
        if (broken) throw new Error("not possible");
      },
    };
    return { done, limit: new TimeLimit({ milliseconds: 5, grace }, ends) };
  };

  test("kills; with a grace it asks before", async () => {
    const [plain, patient] = [record(0), record(5)];
    while (!patient.done.includes("kill")) await Bun.sleep(5);
    expect([plain.done, patient.done]).toEqual([["kill"], ["ask", "kill"]]);
    expect([plain.limit.over, patient.limit.over]).toEqual([true, true]);
  });

  test("is over when it asks, and kills nothing that has ended by then", async () => {
    // right after it was asked
    const ends = () => queueMicrotask(() => limit[Symbol.dispose]());
    const { done, limit } = record(20, false, ends);
    while (done.length === 0) await Bun.sleep(1);
    await Bun.sleep(50);
    expect([limit.over, done]).toEqual([true, ["ask"]]);
  });

  test("is nothing when the program ends before, and says when it can't kill", async () => {
    const early = record(0);
    early.limit[Symbol.dispose]();
    await expect(record(0, true).limit.failed).rejects.toThrow("not possible");
    expect([early.limit.over, early.done]).toEqual([false, []]);
  });
});

describe("a report", () => {
  const read = () => JSON.parse(readFileSync(`${root}/report`, "utf8"));

  test("of a failure has all fields, and the failure", async () => {
    using report = new RunReport(`${root}/report`);
    const failing = report.of(async () => {
      report.open();
      report.named(containerId("job"));
      throw new HakoError({ code: "config", message: "no", hint: "yes" });
    });
    await expect(failing).rejects.toThrow("no");
    expect(read()).toEqual({
      ...{ id: "job", exitCode: null, signal: null, timedOut: false, oomKilled: null, started: null },
      ...{ wallMs: null, cpuUserMs: null, cpuSystemMs: null, memoryPeakBytes: null, pidsPeak: null },
      ...{ weaker: [], landlock: null, policy: null, unprotected: [], unheld: [], refused: null },
      hakoError: { code: "config", message: "no", hint: "yes" },
    });
  });

  test("replaces an older one", async () => {
    writeFileSync(`${root}/report`, "x".repeat(10_000));
    using report = new RunReport(`${root}/report`);
    expect(await report.of(async () => 0)).toBe(0);
    expect(read()).toMatchObject({ id: null, hakoError: null });
  });

  test("that can't be written is a failure, once", async () => {
    using missing = new RunReport(`${root}/none/report`);
    await expect(missing.of(async () => missing.open().number)).rejects.toThrow(/^--report .*none\/report$/);
    using full = new RunReport("/dev/full");
    await expect(full.of(async () => 0)).rejects.toThrow("--report /dev/full");
    using closed = new RunReport("999999");
    await expect(closed.of(async () => 0)).rejects.toThrow("--report 999999");
  });
});
