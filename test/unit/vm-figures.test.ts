import { expect, test } from "bun:test";
import { NOTHING_COUNTED } from "../../src/cgroup/stats/spent";
import { FIGURES_SIZE, figuresText, readFigures } from "../../src/drivers/vm/channel/figures-text";

const spent = {
  ...{ cpuUserMs: 1.5, cpuSystemMs: 20, memoryPeakBytes: 2 ** 40, pidsPeak: undefined, memoryKills: 3 },
};

test("figures are read as they were written, in a text of one size", () => {
  for (const figures of [
    { spent, memoryLimit: 64 << 20, signal: 9 },
    { spent, memoryLimit: undefined },
    { spent: NOTHING_COUNTED, memoryLimit: undefined },
  ]) {
    const text = figuresText(figures);
    expect(text.length).toBe(FIGURES_SIZE);
    expect(readFigures(text)).toEqual(figures);
  }
  // as an attendant looks for it
  expect(figuresText({ spent })).toStartWith("oom_kill 3\n");
});

test("of what a guest tells only numbers of known names are read", () => {
  const nothing = { spent: NOTHING_COUNTED, memoryLimit: undefined };
  for (const text of ["", "\0".repeat(1000), "oom_kill -1", "oom_kill 1e9", "oom_kill 1 2", "oom_kill\n1"])
    expect(readFigures(text)).toEqual(nothing);
  expect(readFigures(`oom_kill ${"9".repeat(16)}`)).toEqual(nothing);
  expect(readFigures(`\x1b[2J\nmemory_limit 5\n${" ".repeat(FIGURES_SIZE)}\noom_kill 1`)).toEqual({
    ...nothing,
    memoryLimit: 5,
  });
});
