// @cgroup-v2
// Each number of linux.resources, left out, 0, -1, and the most that there is: what create and update write. The table is
// limit-cells.ts. HAKO=/usr/sbin/runc runs it against runc, and tells where that one does something else than the table says.
import { describe, expect } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { readLayout } from "../../src/cgroup";
import { diskNumbers, fileNeeded, mountpointOf, placeOf } from "./controllers";
import {
  type Command,
  cellOf,
  type LimitRow,
  limitRows,
  type Outcome,
  type Peer,
  VALUES,
  type Value,
} from "./limit-cells";
import {
  Box,
  e2e,
  expectUnchanged,
  HAKO,
  hostSnapshot,
  IS_HAKO,
  type Needs,
  type Result,
  SLEEP,
} from "./support";

const peer = IS_HAKO ? undefined : (basename(HAKO).replace(/[^a-z].*/, "") as Peer);
const disk = diskNumbers();
const layout = readLayout();

/** Undefined where it can be tried. */
function lacking(row: LimitRow): Needs {
  const place = placeOf(row.controller);
  if (place === undefined) return `this host has no ${row.controller} controller`;
  if (peer !== undefined && layout.version === "hybrid" && place === "v2")
    return `${peer} looks for it in v1 alone`;
  if (row.field.startsWith("blockIO/throttle") && disk === undefined) return "this machine has no disk";
  const file = fileOf(row);
  return file === undefined ? undefined : fileNeeded(place, row.controller, file);
}

function fileOf(row: LimitRow): string | undefined {
  return row.files[placeOf(row.controller) === "v2" ? 1 : 0];
}

const triedOf = (row: LimitRow, value: Value): number | bigint =>
  value === "zero" ? 0 : value === "minusOne" ? -1 : row.most;

/** JSON with numbers of any size. */
function exactJson(document: object): string {
  const text = JSON.stringify(document, (_, value) => (typeof value === "bigint" ? `#${value}#` : value), 2);
  return text.replace(/"#(\d+)#"/g, "$1");
}

/** What a row's file holds in the cgroup at `path`; undefined without a file. */
function contentOf(row: LimitRow, path: string): string | undefined {
  const file = fileOf(row);
  if (file === undefined) return undefined;
  try {
    return readFileSync(`${mountpointOf(row.controller)}${path}/${file}`, "utf8").trim();
  } catch {
    return undefined;
  }
}

/** What it holds in a cgroup beside it that nobody limits. */
function freshContentOf(row: LimitRow, name: string): string | undefined {
  const dir = `${mountpointOf(row.controller)}/${name}`;
  mkdirSync(dir);
  try {
    return contentOf(row, `/${name}`);
  } finally {
    rmdirSync(dir);
  }
}

/** crun leaves those of a container that it refused. */
function removeCgroups(path: string): void {
  for (const { mountpoint } of layout.hierarchies) {
    if (existsSync(`${mountpoint}${path}`)) rmdirSync(`${mountpoint}${path}`);
  }
}

/** A bundle with these resources, and its cgroups' path. */
function bundleWith(box: Box, resources: object): { bundle: string; path: string } {
  let path = "";
  const bundle = box.bundle(SLEEP, ({ linux }) => {
    path = linux.cgroupsPath ?? "";
    linux.resources = { ...linux.resources };
  });
  const file = join(bundle, "config.json");
  const config = JSON.parse(readFileSync(file, "utf8"));
  Object.assign(config.linux.resources, resources);
  // numbers beyond 2^53 have to arrive as they are
  writeFileSync(file, exactJson(config));
  return { bundle, path };
}

const rows = limitRows(disk ?? { major: 7, minor: 0 });
const outcomeOf = (row: LimitRow, value: Value, command: Command): Outcome =>
  cellOf(row, value, { version: placeOf(row.controller) === "v2" ? "v2" : "v1", command, peer });
const here = rows.filter((row) => lacking(row) === undefined);
for (const row of rows) if (!here.includes(row)) console.log(`skipped: ${row.field}: ${lacking(row)}`);

const shown = (outcome: Outcome, before: string | undefined) =>
  outcome === "kept" ? before : outcome === "refused" ? "refused" : outcome.text;

/** The sections of one in another; false, and nothing is changed, where both say something else of a field. */
function merge(into: Record<string, object>, more: Record<string, object>): boolean {
  const entries = Object.entries(more);
  const agrees = (a: Record<string, unknown>, b: Record<string, unknown>) =>
    Object.keys(a).every((key) => !Object.hasOwn(b, key) || a[key] === b[key]);
  const fits = ([name, section]: [string, object]) =>
    into[name] === undefined ||
    (!Array.isArray(section) && agrees({ ...section }, { ...(into[name] as object) }));
  if (!entries.every(fits)) return false;
  for (const [name, section] of entries)
    into[name] = Array.isArray(section) ? section : { ...into[name], ...section };
  return true;
}

/** Rows that one container can have together: few containers for many cells. */
function groups(value: Value): { rows: LimitRow[]; resources: Record<string, object> }[] {
  const found: { rows: LimitRow[]; resources: Record<string, object> }[] = [];
  for (const row of here) {
    if (outcomeOf(row, value, "create") === "refused") continue;
    const resources = row.with(triedOf(row, value));
    const group = found.find((each) => merge(each.resources, resources));
    if (group === undefined) found.push({ rows: [row], resources: { ...resources } });
    else group.rows.push(row);
  }
  return found;
}

function expectRefused(row: LimitRow, { status, stderr }: Result): void {
  expect(status).not.toBe(0);
  if (IS_HAKO) expect(stderr).toContain(row.field);
  if (IS_HAKO) expect(stderr).toMatch(/^hako: [^\n]*\n$/);
}

describe("create writes", () => {
  e2e("nothing of what is left out @v2", () => {
    using box = new Box();
    const { bundle, path } = bundleWith(box, {});
    box.ok("create", "--bundle", bundle, box.id());
    const found = here.map((row) => [row.field, contentOf(row, path)]);
    expect(found).toEqual(here.map((row) => [row.field, freshContentOf(row, `${box.names}fresh`)]));
  });

  for (const value of VALUES) {
    groups(value).forEach(({ rows: together, resources }) => {
      e2e(`what the table says of ${value} @v2: ${together.map(({ field }) => field).join(", ")}`, () => {
        using box = new Box();
        const { bundle, path } = bundleWith(box, resources);
        box.ok("create", "--bundle", bundle, box.id());
        const expected = together.map((row) => {
          return [
            row.field,
            shown(outcomeOf(row, value, "create"), freshContentOf(row, `${box.names}fresh`)),
          ];
        });
        expect(together.map((row) => [row.field, contentOf(row, path)])).toEqual(expected);
      });
    });
    for (const row of here.filter((each) => outcomeOf(each, value, "create") === "refused")) {
      e2e(`nothing of ${row.field} ${triedOf(row, value)}: refused`, async () => {
        using box = new Box();
        const before = hostSnapshot(box.root);
        const { bundle, path } = bundleWith(box, row.with(triedOf(row, value)));
        expectRefused(row, box.hako("create", "--bundle", bundle, box.id()));
        if (IS_HAKO) await expectUnchanged(before, box.root);
        else removeCgroups(path);
      });
    }
  }
});

/** What an update has to compute on v2; the others are tried there with --all, and by create each time. */
const EACH_TIME_ON_V2 = ["memory/swap", "cpu/quota", "pids/limit", "hugepageLimits"];

describe("update of", () => {
  for (const row of here) {
    e2e(`${row.field}${EACH_TIME_ON_V2.includes(row.field) ? " @v2" : ""}`, () => {
      using box = new Box();
      const { bundle, path } = bundleWith(box, {});
      const id = box.id();
      box.ok("create", "--bundle", bundle, id);
      const update = (value: number | bigint) =>
        box.hakoWith({ input: exactJson(row.with(value)) }, "update", "--resources", "-", id);
      const fresh = contentOf(row, path);
      for (const value of VALUES) {
        const isBased = row.base !== undefined && fileOf(row) !== undefined;
        const based = isBased ? update(row.base ?? 0) : undefined;
        const before = contentOf(row, path);
        // a peer's update may not know the field
        if (IS_HAKO && isBased) {
          expect(based).toMatchObject({ status: 0, stderr: "" });
          expect(before).not.toBe(fresh);
        }
        const outcome = outcomeOf(row, value, "update");
        const result = update(triedOf(row, value));
        if (outcome === "refused") {
          expectRefused(row, result);
          if (IS_HAKO) expect(contentOf(row, path)).toBe(before);
          continue;
        }
        expect([value, result.status, contentOf(row, path)]).toEqual([value, 0, shown(outcome, before)]);
      }
    });
  }
});
