import { describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import {
  CAPABILITIES,
  capabilityMask,
  lastCapability,
  rootCapabilities,
  ungrantedCapabilities,
} from "../../src/linux/process/capabilities";
import {
  aliveProcess,
  isChild,
  isExiting,
  openProcess,
  processStatus,
  signalProcess,
  waitForEnd,
} from "../../src/linux/process/process";
import { getLimit, RLIMITS } from "../../src/linux/process/rlimit";

describe("processes", () => {
  test("this one", () => {
    const status = processStatus(process.pid);
    expect(status?.parent).toBe(process.ppid);
    expect(status?.startTime).toBeGreaterThan(0);
    expect(aliveProcess(process.pid, status?.startTime ?? 0)).toEqual(
      expect.objectContaining({ parent: process.ppid }),
    );
  });

  test("one with another start time is not the same", () => {
    expect(aliveProcess(process.pid, 1)).toBeUndefined();
    expect(openProcess(process.pid, 1)).toBeUndefined();
    expect(signalProcess(process.pid, 1, 9)).toBe(false);
    expect(waitForEnd(process.pid, 1, 0)).toBe(true);
    expect(isExiting(process.pid, 1)).toBe(true);
  });

  test("children, until they are reaped, and no others", async () => {
    expect(isChild(process.pid)).toBe(false);
    expect(isChild(process.ppid)).toBe(false);
    expect(isChild(0x3fffff)).toBe(false);
    const child = spawn("sleep", ["100"]);
    expect(isChild(child.pid ?? 0)).toBe(true);
    child.kill("SIGKILL");
    await new Promise((done) => child.on("exit", done));
    expect(isChild(child.pid ?? 0)).toBe(false);
  });

  test("none", () => {
    expect(processStatus(0x3fffff)).toBeUndefined();
    expect(signalProcess(0x3fffff, 1, 9)).toBe(false);
  });

  test("a signal ends it", async () => {
    const child = spawn("sh", ["-c", "exec sleep 100"], { argv0: "a) b (c" });
    const pid = child.pid ?? 0;
    const { startTime } = processStatus(pid) ?? { startTime: 0 };
    expect(waitForEnd(pid, startTime, 10)).toBe(false);
    expect(isExiting(pid, startTime)).toBe(false);
    expect(signalProcess(pid, startTime, 15)).toBe(true);
    expect(waitForEnd(pid, startTime, 20_000)).toBe(true);
    expect(isExiting(pid, startTime)).toBe(true);
    await new Promise((done) => child.on("exit", done));
  });
});

describe("capabilities", () => {
  test("names are numbers", () => {
    const unknown: string[] = [];
    expect(capabilityMask(["CAP_CHOWN", "cap_kill"], (name) => unknown.push(name))).toBe(0b100001n);
    expect(capabilityMask(["CAP_MOON"], (name) => unknown.push(name))).toBe(0n);
    expect(unknown).toEqual(["CAP_MOON"]);
    expect(CAPABILITIES.indexOf("CAP_CHECKPOINT_RESTORE")).toBe(40);
    expect(lastCapability()).toBeGreaterThan(30);
  });

  test("what a program doesn't get is named with the reason, once", () => {
    const [chown, kill] = [1n, 1n << 5n];
    const all = chown | kill;
    const none = { bounding: all, effective: 0n, permitted: 0n, inheritable: 0n, ambient: 0n };
    const said = (sets: Partial<typeof none>, have = all, byItself = 0n) =>
      ungrantedCapabilities({ ...none, ...sets }, have, byItself).map(
        ({ why, names }) => `${why}: ${names.join()}`,
      );
    expect(said({ effective: chown, permitted: all, inheritable: kill, ambient: kill })).toEqual([]);
    expect(said({ effective: all, permitted: all }, chown)).toEqual(["hako has them not itself: CAP_KILL"]);
    expect(said({ effective: all, permitted: chown })).toEqual([
      "what is not permitted can't be effective: CAP_KILL",
    ]);
    for (const sets of [{ permitted: kill }, { inheritable: kill }, {}])
      expect(said({ ...sets, ambient: kill })).toEqual([
        "what is not permitted and inheritable can't be ambient: CAP_KILL",
      ]);
    expect(said({ effective: kill }, chown)).toEqual(["hako has them not itself: CAP_KILL"]);
    expect(said({ ambient: all }, all, chown)).toEqual([
      "what is not permitted and inheritable can't be ambient: CAP_KILL",
    ]);
  });

  test("root's program gets its bounding set; without new privileges no more than what was permitted", () => {
    const sets = { bounding: 0b11n, effective: 0n, permitted: 0b110n, inheritable: 0n, ambient: 0n };
    expect([rootCapabilities(sets, false), rootCapabilities(sets, true)]).toEqual([0b11n, 0b10n]);
  });
});

test("limits", () => {
  expect(Object.keys(RLIMITS).length).toBe(16);
  const { soft, hard } = getLimit(0, "RLIMIT_NOFILE");
  expect(soft).toBeLessThanOrEqual(hard);
});
