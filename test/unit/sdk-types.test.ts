import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { formattedTypes, TYPES_FILE } from "../../scripts/sdk-types";

test("the TypeScript library's types are those of hako's flags and documents", async () => {
  const text = await formattedTypes();
  if (readFileSync(TYPES_FILE, "utf8") !== text)
    throw new Error("sdk/src/generated.ts is not what flags and documents say: run scripts/sdk");
  expect(text).toContain("export interface RunFlags");
});
