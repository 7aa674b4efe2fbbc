import { describe, expect, test } from "bun:test";
import { containerId, sandboxId } from "../../src/oci/id";

describe("ids", () => {
  for (const text of ["a", "web-1", "A_b+c.d", "0", "...", "a".repeat(200)]) {
    test(`${text.slice(0, 20)} is one`, () => {
      expect(containerId(text) as string).toBe(text);
      expect(sandboxId(text) as string).toBe(text);
    });
  }
  const wrong: [string, string][] = [
    ["", "missing container id"],
    [".", "it names a directory"],
    ["..", "it names a directory"],
    ["../x", "only letters"],
    ["a/b", "only letters"],
    ["a b", "only letters"],
    ["a\n", "only letters"],
    ["a\0b", "only letters"],
    ["ä", "only letters"],
    ["#a", "only letters"],
    ["a".repeat(201), "longer than 200 bytes"],
    ["containers-mapping", "hako keeps its own files there"],
  ];
  for (const [text, why] of wrong) {
    test(`${JSON.stringify(text.slice(0, 20))} is none`, () => {
      expect(() => containerId(text)).toThrow(why);
    });
  }
});
