import { expect, spyOn, test } from "bun:test";
import { measure, summary } from "../../scripts/bench-measure";

test("summary: median, least and quartiles, between two numbers where none is in the middle", () => {
  expect(summary([5, 1, 3, 2, 4])).toEqual({ min: 1, lower: 2, median: 3, upper: 4 });
  expect(summary([4, 1, 3, 2])).toEqual({ min: 1, lower: 1.75, median: 2.5, upper: 3.25 });
  expect(summary([7])).toEqual({ min: 7, lower: 7, median: 7, upper: 7 });
});

test("measure: turn by turn, the first doesn't count, and who fails is told and left out", async () => {
  const told = spyOn(console, "error").mockImplementation(() => {});
  const order: string[] = [];
  const turns = new Map<string, number>();
  const rows = await measure("work", [{ name: "a" }, { name: "b" }, { name: "c" }], 2, ({ name }) => {
    order.push(name);
    const turn = turns.get(name) ?? 0;
    turns.set(name, turn + 1);
    if (name === "b" && turn === 1) throw new Error("broken");
    return { first: { wall: 100 - turn }, second: { wall: turn, faults: 2 * turn } };
  });
  expect(order.join("")).toBe("abcabcac");
  expect(told.mock.calls).toEqual([["skipped: work: b: broken"]]);
  expect(rows.map(({ task, runtime, runs }) => [task, runtime, runs])).toEqual([
    ["first", "a", 2],
    ["first", "c", 2],
    ["second", "a", 2],
    ["second", "c", 2],
  ]);
  expect(rows[2]?.values).toEqual({
    wall: { min: 1, lower: 1.25, median: 1.5, upper: 1.75 },
    faults: { min: 2, lower: 2.5, median: 3, upper: 3.5 },
  });
  told.mockRestore();
});
