// /etc/subuid, and the maps that are made of it.
import { describe, expect, test } from "bun:test";
import { mapsWithRoot, parseSubordinate } from "../../src/linux/process/subordinate-ids";

describe("subordinate ids", () => {
  test("rows by name and by number; others are passed over", () => {
    const text =
      "# comment\nuser:100000:65536\n1000:200000:10\n\nuser:x:1\nuser:1:0\nbroken\nuser:4294967290:10\n";
    expect(parseSubordinate(text)).toEqual([
      { owner: "user", first: 100_000, size: 65_536 },
      { owner: "1000", first: 200_000, size: 10 },
    ]);
  });

  test("the user is root, and the ranges follow in a row", () => {
    const ranges = [
      { first: 100_000, size: 10 },
      { first: 300_000, size: 5 },
    ];
    expect(mapsWithRoot({ uid: 1000, gid: 50 }, ranges, ranges.slice(1))).toEqual({
      uidMappings: [
        { containerID: 0, hostID: 1000, size: 1 },
        { containerID: 1, hostID: 100_000, size: 10 },
        { containerID: 11, hostID: 300_000, size: 5 },
      ],
      gidMappings: [
        { containerID: 0, hostID: 50, size: 1 },
        { containerID: 1, hostID: 300_000, size: 5 },
      ],
    });
  });
});
