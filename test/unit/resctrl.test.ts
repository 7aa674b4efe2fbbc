import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { UndoStack } from "../../src/base/undo";
import {
  type IntelRdt,
  joinResctrl,
  normalSchema,
  removeGroups,
  type SchemaFlags,
  updateResctrl,
} from "../../src/resctrl/resctrl";
import { rdtStats } from "../../src/resctrl/stats";

let root = "";
beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/hako-test-resctrl-`);
  group("");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** A group with its files, which the kernel makes with the directory. */
function group(name: string, schemata = ""): void {
  mkdirSync(`${root}/${name}/mon_groups`, { recursive: true });
  writeFileSync(`${root}/${name}/tasks`, "");
  writeFileSync(`${root}/${name}/schemata`, schemata);
}

function join(rdt: IntelRdt): string[] {
  const made: string[] = [];
  joinResctrl(rdt, "web", 77, made, root);
  return made;
}

const read = (file: string) => readFileSync(`${root}/${file}`, "utf8");

test("a class that is there is joined when its schema is the same", () => {
  group("gold", "    L3:0=00ff;1=0f\nMB:0=100\n");
  expect(join({ closID: "gold", l3CacheSchema: "L3:1=f;0=ff" })).toEqual([]);
  expect(read("gold/tasks")).toBe("77");
  expect(() => join({ closID: "gold", schemata: ["L3:0=1;1=f"] })).toThrow("exists with another schema");
});

test("a class without a schema must be there; / is the default one", () => {
  expect(() => join({ closID: "silver" })).toThrow("/linux/intelRdt/closID");
  expect(join({ closID: "/" })).toEqual([]);
  expect(read("tasks")).toBe("77");
});

/** An update by these flags; what it made, and what takes it back. */
function update(rdt: IntelRdt | undefined, flags: SchemaFlags, made: string[] = []) {
  const undo = new UndoStack((error) => {
    throw error;
  });
  updateResctrl({ rdt, id: "web", pids: () => [process.pid], made }, flags, undo, root);
  return { made, undo };
}

test("an update changes the schemas of the class, and can be taken back", () => {
  group("gold", "    L3:0=00ff;1=0f\nMB:0=100\n");
  const { made, undo } = update({ closID: "gold" }, { "mem-bw-schema": "MB:0=20" });
  expect([made, read("gold/schemata"), read("gold/tasks")]).toEqual([[], "MB:0=20\n", ""]);
  undo[Symbol.dispose]();
  expect(read("gold/schemata")).toBe("MB:0=100\n");
});

test("an update of a container without a class gives it one, with all threads of its processes", () => {
  group("web", "L3:0=ff\n");
  const { made } = update(undefined, { "l3-cache-schema": "L3:0=f" });
  expect([made, read("web/schemata")]).toEqual([[], "L3:0=f\n"]);
  expect(readdirSync("/proc/self/task")).toContain(read("web/tasks"));
  // no kernel makes files in the new directory
  rmSync(`${root}/web`, { recursive: true });
  const fresh: string[] = [];
  expect(() => update(undefined, { "l3-cache-schema": "L3:0=f" }, fresh)).toThrow();
  expect(fresh).toEqual([`${root}/web`]);
  expect(() => update({ closID: "lead" }, { "l3-cache-schema": "L3:0=f" })).toThrow("has gone");
});

test("what fails on its way leaves no class of its own", () => {
  // no kernel makes files in this directory: the first write fails
  expect(() => join({ closID: "bronze", l3CacheSchema: "L3:0=1" })).toThrow("schema L3:0=1");
  expect(existsSync(`${root}/bronze`)).toBe(false);
  const made: string[] = [];
  expect(() => joinResctrl({ memBwSchema: "MB:0=20" }, "web", 77, made, root)).toThrow();
  expect(made).toEqual([`${root}/web`]);
  removeGroups(made);
  removeGroups(made);
  expect(existsSync(`${root}/web`)).toBe(false);
});

test("without the file system the error says so", () => {
  if (readFileSync("/proc/self/mountinfo", "utf8").includes(" - resctrl ")) return;
  expect(() => joinResctrl({ closID: "x" }, "web", 77, [])).toThrow("no resctrl file system is mounted");
});

test("schemas in their normal form", () => {
  expect(normalSchema("  L3:1=00f; 0=F0")).toBe("L3:0=f0;1=f");
  expect(normalSchema("MB:0=0")).toBe("MB:0=0");
});

test("events tell what the processor offers and what is counted, in runc's words", () => {
  const write = (file: string, value: string) => {
    mkdirSync(`${root}/${file}`.replace(/\/[^/]*$/, ""), { recursive: true });
    writeFileSync(`${root}/${file}`, `${value}\n`);
  };
  group("", "    MB:0=100;1=100\n    L3:0=fffff;1=fffff\n");
  group("web", "    MB:0=50;1=50\n    L3:0=ff;1=ff\n");
  expect(rdtStats({}, "web", root)).toEqual({});
  expect(rdtStats({}, "gone", root)).toEqual({});
  for (const [file, value] of Object.entries({ cbm_mask: "fffff", min_cbm_bits: "1", num_closids: "16" }))
    write(`info/L3/${file}`, value);
  for (const [file, value] of Object.entries({
    bandwidth_gran: "10",
    delay_linear: "1",
    min_bandwidth: "10",
    num_closids: "8",
  }))
    write(`info/MB/${file}`, value);
  write("info/L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes");
  for (const [where, factor] of [
    ["web", 1],
    ["web/mon_groups/web", 10],
  ] as const) {
    for (const cache of [1, 0]) {
      write(`${where}/mon_data/mon_L3_0${cache}/mbm_total_bytes`, String((100 + cache) * factor));
      write(`${where}/mon_data/mon_L3_0${cache}/mbm_local_bytes`, "Unavailable");
      write(`${where}/mon_data/mon_L3_0${cache}/llc_occupancy`, String((7 + cache) * factor));
    }
  }
  const expected = {
    l3_cache_info: { cbm_mask: "fffff", min_cbm_bits: 1, num_closids: 16 },
    l3_cache_schema_root: "L3:0=fffff;1=fffff",
    l3_cache_schema: "L3:0=ff;1=ff",
    mem_bw_info: { bandwidth_gran: 10, delay_linear: 1, min_bandwidth: 10, num_closids: 8 },
    mem_bw_schema_root: "MB:0=100;1=100",
    mem_bw_schema: "MB:0=50;1=50",
    mbm_stats: [
      { mbm_total_bytes: 100, mbm_local_bytes: 0 },
      { mbm_total_bytes: 101, mbm_local_bytes: 0 },
    ],
    cmt_stats: [{ llc_occupancy: 7 }, { llc_occupancy: 8 }],
  };
  expect(rdtStats({}, "web", root)).toEqual(expected);
  expect(rdtStats({ enableMonitoring: true }, "web", root).cmt_stats).toEqual([
    { llc_occupancy: 70 },
    { llc_occupancy: 80 },
  ]);
});
