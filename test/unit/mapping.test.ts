import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { containerId, sandboxId } from "../../src/oci/id";
import { MappingStore } from "../../src/state/mapping";
import { withWarnings } from "./warnings";

let root: string;
let store: MappingStore;
const A = containerId("a");
const B = containerId("b");
const POD = sandboxId("pod");

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "hako-mapping-"));
  store = new MappingStore(root);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function entries(id: string): string[] {
  return readdirSync(join(root, "containers-mapping", id));
}

describe("MappingStore", () => {
  test("an empty store", () => {
    expect(store.get(A)).toBeUndefined();
    expect(store.list()).toEqual([]);
    store.delete(A);
  });

  test("add, get, delete", () => {
    store.add(A, POD);
    expect(entries("a")).toEqual(["pod"]);
    expect(statSync(join(root, "containers-mapping/a/pod")).mode & 0o777).toBe(0o750);
    expect(store.get(A)).toBe(POD);
    store.delete(A);
    expect(store.get(A)).toBeUndefined();
    expect(readdirSync(root)).toEqual([]);
  });

  test("the store's directory stays while there is another entry", () => {
    store.add(A, POD);
    store.add(B, POD);
    store.delete(A);
    expect(readdirSync(join(root, "containers-mapping"))).toEqual(["b"]);
    store.delete(B);
    expect(readdirSync(root)).toEqual([]);
  });

  test("it goes after a claim that fails for the store's own sake, and after a delete of nothing", () => {
    mkdirSync(join(root, "containers-mapping"));
    store.delete(A);
    expect(readdirSync(root)).toEqual([]);
    writeFileSync(join(root, "containers-mapping"), "");
    expect(() => store.add(A, POD)).toThrow("not a directory");
    expect(readFileSync(join(root, "containers-mapping"), "utf8")).toBe("");
  });

  test("comes and goes while several processes claim and delete", async () => {
    const processes = 4;
    const rounds = 250;
    const script = `
      const { MappingStore } = await import(${JSON.stringify(resolve("src/state/mapping.ts"))});
      const store = new MappingStore(${JSON.stringify(root)});
      const [id] = process.argv.slice(-1);
      for (let round = 0; round < ${rounds}; round++) {
        store.add(id, "pod");
        if (store.get(id) !== "pod") throw new Error("lost in round " + round);
        store.delete(id);
      }`;
    const file = join(root, "claim.ts");
    writeFileSync(file, script);
    const running = Array.from({ length: processes }, (_, index) =>
      Bun.spawn([process.execPath, "run", file, `c${index}`], { stderr: "pipe", stdout: "ignore" }),
    );
    const said = await Promise.all(running.map(({ stderr }) => new Response(stderr).text()));
    expect(said).toEqual(Array(processes).fill(""));
    expect(await Promise.all(running.map(({ exited }) => exited))).toEqual(Array(processes).fill(0));
    expect(readdirSync(root)).toEqual(["claim.ts"]);
  });

  test("an id is claimed once, by whomever", () => {
    store.add(A, POD);
    expect(() => store.add(A, sandboxId("other"))).toThrow(
      'container id "a" is already mapped to sandbox "pod"',
    );
    expect(() => store.add(A, POD)).toThrow("already mapped");
    expect(store.get(A)).toBe(POD);
    expect(readdirSync(join(root, "containers-mapping"))).toEqual(["a"]);
  });

  test("what a crash left empty can be claimed", () => {
    mkdirSync(join(root, "containers-mapping/a"), { recursive: true });
    expect(() => store.get(A)).toThrow(`too many files (0) in "${join(root, "containers-mapping/a")}"`);
    store.add(A, POD);
    expect(store.get(A)).toBe(POD);
  });

  test("two sandboxes: an error, until it is deleted", () => {
    for (const name of ["x", "y"]) mkdirSync(join(root, "containers-mapping/a", name), { recursive: true });
    expect(() => store.get(A)).toThrow("too many files (2) in");
    expect(() => store.add(A, POD)).toThrow("too many files (2) in");
    store.delete(A);
    expect(store.get(A)).toBeUndefined();
  });

  test("delete sweeps what processes that are gone have left, and nobody else's", () => {
    const mine = `#${process.pid}.0.x`;
    for (const name of ["#4194000.0.x/pod", mine, "#odd"]) {
      mkdirSync(join(root, "containers-mapping", name), { recursive: true });
    }
    store.delete(A);
    expect(readdirSync(join(root, "containers-mapping")).sort()).toEqual(["#odd", mine].sort());
  });

  test("list leaves out what is broken or under way, and says so", () => {
    store.add(A, POD);
    mkdirSync(join(root, "containers-mapping/broken"), { recursive: true });
    mkdirSync(join(root, "containers-mapping/#1.0"), { recursive: true });
    writeFileSync(join(root, "containers-mapping/file"), "");
    const { result, warnings } = withWarnings(() => store.list());
    expect(result).toEqual([{ container: A, sandbox: POD }]);
    expect(warnings.length).toBe(2);
  });
});
