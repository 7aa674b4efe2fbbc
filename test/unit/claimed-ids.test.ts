// Which ranges of ids `--userns auto` may take.
import { describe, expect, test } from "bun:test";
import { candidates, rangesIn } from "../../src/state/claimed-ids";

const row = (owner: string, first: number, size: number) => ({ owner, first, size });

describe("ranges for --userns auto", () => {
  test("hako's rows before podman's; a uid's and a gid's range in the order of the rows", () => {
    const uid = [
      row("hako", 1_000_000, 200_000),
      row("containers", 5_000_000, 65_536),
      row("user", 100_000, 65_536),
    ];
    const gid = [
      row("containers", 6_000_000, 65_536),
      row("hako", 2_000_000, 65_535),
      row("hako", 3_000_000, 131_072),
    ];
    expect([...candidates({ uid, gid })]).toEqual([
      [1_000_000, 3_000_000],
      [1_065_536, 3_065_536],
    ]);
    const others = (rows: typeof uid) => rows.filter(({ owner }) => owner !== "hako");
    expect([...candidates({ uid: others(uid), gid: others(gid) })]).toEqual([[5_000_000, 6_000_000]]);
  });

  test("rows of one file alone give nothing", () => {
    expect([...candidates({ uid: [row("hako", 1_000_000, 65_536)], gid: [] })]).toEqual([]);
  });

  test("without rows from the end of the containers' ids, past those of users", () => {
    const first = () => candidates({ uid: [], gid: [] }).next().value;
    expect(first()).toEqual([0x6fff0000, 0x6fff0000]);
    const taken = [row("user", 0x6fff8000, 10)];
    expect(candidates({ uid: [], gid: taken }).next().value).toEqual([0x6ffe0000, 0x6ffe0000]);
    const all = [...candidates({ uid: [], gid: [] })];
    expect(all).toHaveLength(0x3000);
    expect(all.every(([uids, gids]) => uids === gids && uids % 65_536 === 0)).toBe(true);
  });
});

describe("a map of ids", () => {
  test("takes what it calls by other numbers", () => {
    expect(rangesIn("         0    1000000      65536\n")).toEqual([{ first: 1_000_000, size: 65_536 }]);
    expect(rangesIn("0 1000 1\n1 400000 65536\n")).toHaveLength(2);
  });

  test("takes nothing of what it calls by its own number", () => {
    expect(rangesIn("         0          0 4294967295\n")).toEqual([]);
    expect(rangesIn("1000 1000 1\n1001 400000 10\n")).toEqual([{ first: 400_000, size: 10 }]);
  });
});
