// Files and folders that the pages name are there: a recipe with a path that has gone leads nowhere.
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const FOLDERS = ["docs", "src"];
/** `src/linux/call/fd.ts`, `test/e2e/`; not in a web address, and not with a pattern or a NAME in it. */
const PATH = /(?<![\w/.])(?:src|test|scripts|docs)\/[\w./-]*[\w/](?![\w*{])/g;
/** A file without its folder, as in `clone.ts`. */
const FILE = /(?<![\w/.-])[\w-]+\.ts\b/g;
const LINK = /\]\(([^)#:\s]+)(?:#[^)]*)?\)/g;

function below(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" });
}

const FILES = new Set(
  ["src", "test", "scripts"]
    .flatMap(below)
    .concat(readdirSync(ROOT))
    .map((path) => basename(path)),
);

function pages(): string[] {
  const inFolders = FOLDERS.flatMap((folder) => below(folder).map((path) => join(folder, path)));
  const top = readdirSync(ROOT).filter((name) => name !== "CHANGELOG.md");
  return [...top, ...inFolders].filter((path) => path.endsWith(".md"));
}

test("paths, files and links in the pages exist", () => {
  const missing = pages().flatMap((page) => {
    const text = readFileSync(join(ROOT, page), "utf8");
    const named = [...text.matchAll(PATH)].map(([path]) => path).filter((path) => !/\bNAME\b/.test(path));
    const linked = [...text.matchAll(LINK)].map(([, path = ""]) =>
      relative(ROOT, join(ROOT, dirname(page), path)),
    );
    const files = [...text.matchAll(FILE)]
      .map(([name]) => name)
      .filter((name) => name !== "NAME.ts" && !FILES.has(name));
    return [...named, ...linked]
      .filter((path) => !existsSync(join(ROOT, path)))
      .concat(files)
      .map((path) => `${page}: ${path}`);
  });
  expect(missing).toEqual([]);
});
