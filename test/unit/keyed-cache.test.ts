// Entries of a cache: made once, whole or not at all, removed when nobody uses them.
import { afterAll, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileIdentity, KeyedCache, keyOfParts } from "../../src/drivers/vm/guest/keyed-cache";

const place = mkdtempSync(join(tmpdir(), "hako-cache-"));
const directory = join(place, "cache");
const cache = new KeyedCache(directory, "cache of a test");
const [one, other] = [keyOfParts(["one"]), keyOfParts(["other"])];
const make = (text: string) => (path: string) => writeFileSync(join(path, "file"), text);
const failing = () => {
  throw new Error("not to be made");
};

beforeEach(() => rmSync(directory, { recursive: true, force: true }));
afterAll(() => rmSync(place, { recursive: true }));

test("an entry is made once, and anew when it is too old", () => {
  {
    using first = cache.entry(one, make("1"));
    expect(first.isNew).toBeTrue();
    using second = cache.entry(one, failing);
    expect(second.isNew).toBeFalse();
    expect(Math.abs(second.made - Date.now())).toBeLessThan(60_000);
  }
  const now = Date.now();
  utimesSync(join(directory, one), now / 1000 - 100, now / 1000 - 100);
  expect(cache.find(one, now - 50_000)).toBeUndefined();
  {
    using again = cache.entry(one, make("2"), now - 50_000);
    expect(again.isNew).toBeTrue();
    expect(readdirSync(again.path)).toEqual(["file"]);
  }
  // made this very moment, whatever the clock of the file system says
  using anew = cache.entry(one, make("3"), Date.now() + 1000);
  expect(anew.isNew).toBeTrue();
});

test("what could not be made leaves nothing, and what was killed is removed by the next one", () => {
  expect(() => cache.entry(one, failing)).toThrow("not to be made");
  expect(readdirSync(directory)).toEqual([`${one}.lock`]);
  mkdirSync(join(directory, `${other}.tmp`));
  using _ = cache.entry(one, make("1"));
  expect(readdirSync(directory).sort()).toEqual([one, `${one}.lock`].sort());
});

test("other entries go when one is made, but not those that are used", () => {
  const used = cache.entry(one, make("1"));
  {
    using _ = cache.entry(other, make("2"));
    expect(
      cache
        .list()
        .map(({ key }) => key)
        .sort(),
    ).toEqual([one, other].sort());
  }
  expect(cache.clear()).toMatchObject({ removed: [{ key: other }], used: [{ key: one }] });
  used[Symbol.dispose]();
  expect(cache.clear()).toMatchObject({ removed: [{ key: one }], used: [] });
  expect(readdirSync(directory)).toEqual([]);
  expect(new KeyedCache(join(place, "none"), "none").clear()).toEqual({ removed: [], used: [] });
});

test("a file has another identity when it is another one", () => {
  const path = join(place, "file");
  writeFileSync(path, "1");
  const before = fileIdentity(path);
  expect(fileIdentity(path)).toBe(before);
  rmSync(path);
  expect(fileIdentity(path)).toBe(`${path} is not there`);
  writeFileSync(path, "22");
  expect(fileIdentity(path)).not.toBe(before);
});
