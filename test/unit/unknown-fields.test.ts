// What a document says and nobody reads.
import { expect, test } from "bun:test";
import { readConfig } from "../../src/oci/config";
import { unknownFields } from "../../src/oci/unknown-fields";

test("names are compared at each depth, in lists too; null is a value like another", () => {
  const document = { a: 1, b: { c: [{ d: 1 }, { d: 1, "e/f": null }] }, g: null };
  const parsed = { a: 1, b: { c: [{ d: 1 }, { d: 1 }] } };
  expect(unknownFields(document, parsed)).toEqual(["/b/c/1/e~1f", "/g"]);
  expect(unknownFields({ a: { b: 1 } }, { a: undefined })).toEqual([]);
  expect(unknownFields([1], [1])).toEqual([]);
});

function unknownOf(document: object): string[] {
  const read = readConfig(JSON.stringify(document), "config.json");
  if ("problems" in read) throw new Error(JSON.stringify(read.problems));
  return unknownFields(read.document, read.config);
}

test("fields of a config", () => {
  const linux = {
    resources: { meomry: { limit: 1 } },
    seccomp: { defaultAction: "SCMP_ACT_ALLOW", syscals: [] },
  };
  const config = {
    ociVersion: "1.2.0",
    process: { cwd: "/", Args: ["sh"] },
    linux,
    windows: {},
    annotations: { any: "x" },
  };
  expect(unknownOf(config)).toEqual([
    "/process/Args",
    "/linux/resources/meomry",
    "/linux/seccomp/syscals",
    "/windows",
  ]);
  expect(
    unknownOf({ ociVersion: "1.2.0", hostname: null, linux: { resources: { memory: null, devices: null } } }),
  ).toEqual([]);
});
