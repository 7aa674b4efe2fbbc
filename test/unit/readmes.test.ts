// Pages that lie in src lead to files that are there.
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const SOURCES = join(import.meta.dir, "../../src");

describe("README.md in src", () => {
  const pages = readdirSync(SOURCES, { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith("README.md"),
  );
  expect(pages).toContain("linux/steps/README.md");
  for (const page of pages) {
    test(`${page}: what it leads to is there`, () => {
      const path = join(SOURCES, page);
      const links = [...readFileSync(path, "utf8").matchAll(/\]\(([^)#]+)/g)].map(([, link = ""]) => link);
      expect(links.length).toBeGreaterThan(0);
      expect(links.filter((link) => !existsSync(join(dirname(path), link)))).toEqual([]);
    });
  }
});
