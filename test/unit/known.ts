// What is not tidy yet: test/unit/known.json, whose lists may only become shorter.
import { expect } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const FILE = join(import.meta.dir, "known.json");

/** Expects nothing but what is known. `WRITE_KNOWN=1 npx bun test test/unit/rooms.test.ts test/unit/names.test.ts` writes what is left. */
export function expectKnown(kind: string, found: string[]): void {
  const known = JSON.parse(readFileSync(FILE, "utf8"));
  if (process.env.WRITE_KNOWN === "1")
    writeFileSync(FILE, `${JSON.stringify({ ...known, [kind]: found }, null, 2)}\n`);
  else expect(found.filter((each) => !known[kind].includes(each))).toEqual([]);
}
