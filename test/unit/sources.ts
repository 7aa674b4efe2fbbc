// The files of src and what they import, as text: types, `require` and `import()` count too.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const SRC = join(import.meta.dir, "../../src");

export interface Source {
  /** Below src, such as `linux/call/fd.ts`. */
  path: string;
  folder: string;
  text: string;
  /** Paths below src of what it imports. */
  imports: string[];
  /** Modules that are not files of src. */
  modules: string[];
}

/** `from "x"`, `import "x"`, `require("x")`, `import("x")`. */
const SPECIFIER = /(?:\bfrom|\bimport|\b(?:require|import)\s*\()\s*"([^"]+)"/g;

function readSource(path: string, paths: ReadonlySet<string>): Source {
  const text = readFileSync(join(SRC, path), "utf8");
  const [imports, modules] = [new Set<string>(), new Set<string>()];
  for (const [, specifier = ""] of text.matchAll(SPECIFIER)) {
    if (!specifier.startsWith(".")) {
      modules.add(specifier);
      continue;
    }
    const target = normalize(join(dirname(path), specifier));
    const file = [`${target}.ts`, join(target, "index.ts"), target].find((each) => paths.has(each));
    if (file !== undefined) imports.add(file);
    // what is not in src is package.json, or wrong
    else if (specifier !== "../../package.json")
      throw new Error(`${path} imports ${specifier}, which is not in src`);
  }
  return { path, folder: dirname(path), text, imports: [...imports], modules: [...modules] };
}

export function readSources(): Source[] {
  const paths = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith(".ts"),
  );
  const set = new Set(paths);
  return paths.sort().map((path) => readSource(path, set));
}
