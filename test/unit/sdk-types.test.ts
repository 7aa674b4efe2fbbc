import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { formattedTypes, TYPES_FILE } from "../../scripts/sdk-types";

test("the TypeScript library's types are those of hako's flags and documents", async () => {
  const text = await formattedTypes();
  if (readFileSync(TYPES_FILE, "utf8") !== text)
    throw new Error("sdk/src/generated.ts is not what flags and documents say: run scripts/sdk");
  expect(text).toContain("export interface RunFlags");
});

/** Documents in the words of other standards. */
const OTHERS = new Set(["State", "Stats", "Change"]);

/** The properties of a source's interfaces and classes that the library exports, each with the line above it. */
function* propertiesOf(
  text: string,
  exported: ReadonlySet<string>,
): Generator<{ name: string; above: string }> {
  const declarations = text.matchAll(/^export (interface|class) (\w+).*\{\n([\s\S]*?)^\}/gm);
  for (const [, kind = "", declared = "", body = ""] of declarations) {
    if (!exported.has(declared) || OTHERS.has(declared)) continue;
    const lines = body.split("\n");
    const property = kind === "interface" ? /^ {2}"?([\w-]+)"?\??: / : /^ {2}(?:readonly |get )(\w+)\b/;
    for (const [index, line] of lines.entries()) {
      const name = property.exec(line)?.[1];
      if (name !== undefined) yield { name: `${declared}.${name}`, above: lines[index - 1] ?? "" };
    }
  }
}

test("each option and each part of a result says what it is", () => {
  const library = dirname(TYPES_FILE);
  const index = readFileSync(join(library, "index.ts"), "utf8");
  const exported = new Set(index.match(/\b[A-Z]\w+/g));
  const all = readdirSync(library).flatMap((file) => [
    ...propertiesOf(readFileSync(join(library, file), "utf8"), exported),
  ]);
  expect(all.length).toBeGreaterThan(100);
  expect(all.filter(({ above }) => !above.endsWith("*/"))).toEqual([]);
});
