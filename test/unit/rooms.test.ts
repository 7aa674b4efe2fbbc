// Which file of src may import which: no circles, and the order of scripts/layers.ts.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { FFI_ROOM, LAYERS, LINTER_LAYERS, linterLayers } from "../../scripts/layers";
import { readSources } from "./sources";

const sources = readSources();
const folderOf = new Map(sources.map(({ path, folder }) => [path, folder]));

type Graph = ReadonlyMap<string, ReadonlySet<string>>;

function reaches(graph: Graph, from: string, to: string): boolean {
  const seen = new Set<string>();
  const rest = [...(graph.get(from) ?? [])];
  for (let each = rest.pop(); each !== undefined; each = rest.pop()) {
    if (each === to) return true;
    if (!seen.has(each)) rest.push(...(graph.get(each) ?? []));
    seen.add(each);
  }
  return false;
}

/** Those from which a way leads back to themselves. */
function circular(graph: Graph): string[] {
  return [...graph.keys()].filter((each) => reaches(graph, each, each)).sort();
}

function fileGraph(): Graph {
  return new Map(sources.map(({ path, imports }) => [path, new Set(imports)]));
}

function folderGraph(): Graph {
  const graph = new Map<string, Set<string>>();
  for (const { folder, imports } of sources) {
    const others = imports.map((path) => folderOf.get(path) ?? "").filter((other) => other !== folder);
    graph.set(folder, new Set([...(graph.get(folder) ?? []), ...others]));
  }
  return graph;
}

describe("rooms of the source", () => {
  test("no circle between files, also of types and of what is loaded late", () => {
    expect(circular(fileGraph())).toEqual([]);
  });

  test("no circle between folders", () => {
    expect(circular(folderGraph())).toEqual([]);
  });

  test("every folder has its place in the order, and every place a folder", () => {
    expect([...new Set(folderOf.values())].sort()).toEqual([...LAYERS].sort());
  });

  test("a file imports from its own folder and from those before it", () => {
    const place = (path: string) => LAYERS.indexOf(folderOf.get(path) ?? "");
    const against = sources.flatMap(({ path, imports }) =>
      imports.filter((target) => place(target) > place(path)).map((target) => `${path} imports ${target}`),
    );
    expect(against.sort()).toEqual([]);
  });

  test("the linter has the same order: npx bun run scripts/layers.ts writes it", () => {
    expect(readFileSync(LINTER_LAYERS, "utf8")).toBe(linterLayers());
  });

  test("what is loaded late is named beside the imports", () => {
    const elsewhere = sources.filter(({ text }) => {
      const named = text.match(/^ {2}get \w+\(\) \{\n {4}return require\(/gm) ?? [];
      return (text.match(/\brequire\("/g) ?? []).length > named.length;
    });
    expect(elsewhere.map(({ path }) => path)).toEqual([]);
  });

  test("only one room calls libc", () => {
    const callers = sources.filter(({ modules }) => modules.includes("bun:ffi"));
    expect(callers.length).toBeGreaterThan(0);
    expect(callers.filter(({ path }) => !path.startsWith(`${FFI_ROOM}/`))).toEqual([]);
  });
});
