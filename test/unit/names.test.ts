// A name that src exports means one thing, so that a search for it finds one.
import { describe, expect, test } from "bun:test";
import { readSources } from "./sources";

const DECLARED =
  /^export (?:declare )?(?:abstract )?(?:async )?(?:function\*?|const|let|class|interface|type|enum) (\w+)/gm;
/** `export { a, type B, c as d };`, which `from` would follow if another file's were passed on. */
const LISTED = /^export (?:type )?\{([^}]*)\}(?! from)/gm;

function exportsOf(text: string): string[] {
  const listed = [...text.matchAll(LISTED)].flatMap(([, names = ""]) => names.split(","));
  const names = listed.map((each) => /(\w+)\s*$/.exec(each)?.[1] ?? "");
  return [...text.matchAll(DECLARED)]
    .map(([, name = ""]) => name)
    .concat(names.filter((name) => name !== ""));
}

describe("names that src exports", () => {
  test("no two files export one name", () => {
    const files = new Map<string, Set<string>>();
    for (const { path, text } of readSources())
      for (const name of exportsOf(text)) files.set(name, (files.get(name) ?? new Set()).add(path));
    expect(files.size).toBeGreaterThan(500);
    const twice = [...files].filter(([, paths]) => paths.size > 1);
    expect(twice.map(([name, paths]) => `${name}: ${[...paths].join(", ")}`).sort()).toEqual([]);
  });
});

describe("numbers of the kernel's interface", () => {
  test("are in one file: none of its names is declared in another one", () => {
    const CONSTANTS = "linux/call/constants.ts";
    const sources = readSources();
    const text = sources.find(({ path }) => path === CONSTANTS)?.text ?? "";
    const names = [...text.matchAll(/^export enum (\w+) \{(.*?)^\}/gms)].flatMap(([, kind = "", body = ""]) =>
      // SIG.KILL is SIGKILL, O.PATH is O_PATH, TTY.TCGETS is TCGETS
      [...body.matchAll(/^ {2}(\w+) =/gm)].flatMap(([, name = ""]) => [
        name.includes("_") || kind === "TTY" ? name : "",
        kind + name,
        `${kind}_${name}`,
      ]),
    );
    expect(names).toContain("SIGKILL");
    expect(names).toContain("AT_EMPTY_PATH");
    const known = new Set(names);
    const copies = sources
      .filter(({ path }) => path !== CONSTANTS)
      .flatMap(({ path, text }) =>
        [...text.matchAll(/^(?:export )?const (\w+) =/gm)].flatMap(([, name = ""]) =>
          known.has(name) ? [`${path}: ${name}`] : [],
        ),
      );
    expect(copies).toEqual([]);
  });
});
