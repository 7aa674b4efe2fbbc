import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { moveBack } from "../../src/changes/move";
import { O } from "../../src/linux/call/constants";
import { openAt } from "../../src/linux/file/path";

test("what was moved goes back, beside its place where that is taken, and is never lost", () => {
  const directory = mkdtempSync(join(tmpdir(), "hako-move-"));
  try {
    const [staging, place] = ["staging", "place"].map((name) => {
      mkdirSync(join(directory, name));
      return join(directory, name);
    }) as [string, string];
    using from = openAt(undefined, staging, O.PATH | O.DIRECTORY);
    using to = openAt(undefined, place, O.PATH | O.DIRECTORY);
    const moved = (text: string) => {
      writeFileSync(join(staging, "0"), text);
      moveBack(from, "0", to, "name");
    };
    moved("first");
    expect(() => moved("second")).toThrow(
      "name was exchanged meanwhile, and once more: what was moved is name.hako-moved-1 now",
    );
    expect(() => moved("third")).toThrow("name.hako-moved-2 now");
    expect(readdirSync(staging)).toEqual([]);
    const found = readdirSync(place).sort();
    expect(found.map((name) => [name, readFileSync(join(place, name), "utf8")])).toEqual([
      ["name", "first"],
      ["name.hako-moved-1", "second"],
      ["name.hako-moved-2", "third"],
    ]);
    expect(() => moveBack(from, "none", to, "other")).toThrow("no such file");
  } finally {
    rmSync(directory, { recursive: true });
  }
});
