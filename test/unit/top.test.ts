import { describe, expect, test } from "bun:test";
import { pressureOf, SORT_NAMES, TopScreen } from "../../src/container/top-screen";
import type { Usage } from "../../src/container/usage";
import { bar, cut, sparkline } from "../../src/output/graph";

function usage(id: string, more: Partial<Usage> = {}): Usage {
  return {
    ...{ id, sandbox: id, root: "/run/hako", status: "running", cpuPercent: 0, memoryBytes: 0, pids: 1 },
    ...{ memoryLimitBytes: null, pidsLimit: null, readBytes: 0, writtenBytes: 0 },
    ...{ readBytesPerSecond: 0, writtenBytesPerSecond: 0, pressure: { cpu: null, memory: null, io: null } },
    ...more,
  } as Usage;
}

describe("graphs", () => {
  test("bars are a part of the highest, the last ones on the right", () => {
    expect(sparkline([0, 50, 100, 200], 6, 100)).toBe("   ▅██");
    expect(sparkline([1, 2, 3, 100], 2, 100)).toBe("▁█");
    expect(sparkline([], 3, 0)).toBe("   ");
    expect([bar(0, 4), bar(0.5, 4), bar(7, 4), bar(-1, 4)]).toEqual(["░░░░", "██░░", "████", "░░░░"]);
    expect([cut("abc", 3), cut("abcd", 3)]).toEqual(["abc", "ab…"]);
  });
});

describe("top", () => {
  const screen = (sort = "cpu") => {
    const made = new TopScreen(sort);
    made.add([
      usage("a", { cpuPercent: 5, memoryBytes: 10, sandbox: "z", pids: 3 }),
      usage("b", {
        cpuPercent: 90,
        memoryBytes: 2 ** 20,
        memoryLimitBytes: 2 ** 21,
        pressure: { cpu: 1, memory: null, io: 3 },
      }),
      usage("c\n", { cpuPercent: 5, memoryBytes: 30, writtenBytesPerSecond: 7, status: "paused" }),
    ]);
    return made;
  };
  const order = (made: TopScreen) =>
    made
      .sorted()
      .map(({ id }) => id.trim())
      .join("");

  test("sorts by what a key says, and turns it round", () => {
    const made = screen();
    expect(order(made)).toBe("bac");
    for (const [key, wanted] of Object.entries({
      m: "bca",
      p: "abc",
      i: "cab",
      w: "bac",
      n: "abc",
      s: "bca",
      c: "bac",
    })) {
      expect([key, made.key(key), order(made)]).toEqual([key, "draw", wanted]);
    }
    expect([made.key("r"), order(made)]).toEqual(["draw", "cab"]);
    expect([made.key("x"), made.key("toString")]).toEqual([undefined, undefined]);
    for (const key of ["q", "\x03"]) expect(made.key(key)).toBe("quit");
    for (const name of SORT_NAMES) expect(screen(name).sorted()).toHaveLength(3);
    expect(order(screen("name"))).toBe("abc");
  });

  test("fits on any screen, and says how many it doesn't show", () => {
    const made = screen();
    for (const width of [10, 40, 80, 100, 200])
      for (const height of [3, 4, 5, 24]) {
        const lines = made.lines(width, height);
        expect(lines.length).toBeLessThanOrEqual(Math.max(height, 3));
        for (const line of lines) expect(line.length).toBeLessThanOrEqual(width);
      }
    expect(made.lines(80, 5).join("\n")).toContain("… 2 more");
    const all = made.lines(150, 24).join("\n");
    expect(all).toContain("hako top: 3 containers\n");
    expect(all).toMatch(/^b +90\.0 +█ +1 MiB +2 MiB ████░░░░ +1 +0 B +0 B +3\.0 +▁ -$/m);
    expect(all).toMatch(/^c\\x0a +paused /m);
    expect(all).toContain("[c cpu]  m memory");
  });

  test("the most that something waits for; nothing where it isn't measured", () => {
    expect(pressureOf(usage("a"))).toBeUndefined();
    expect(pressureOf(usage("a", { pressure: { cpu: 1, memory: 5, io: null } }))).toBe(5);
  });
});
