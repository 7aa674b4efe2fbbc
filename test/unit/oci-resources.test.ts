// Values of linux.resources: the same in config.json and in what `update` takes.
import { describe, expect, test } from "bun:test";
import { configOf } from "../../src/oci/config";
import { defaultConfig } from "../../src/oci/default";
import { parseResources, readResources } from "../../src/oci/resources-document";
import { semanticProblems } from "../../src/oci/semantics";

function lines(read: { problems: readonly { pointer: string; message: string }[] } | object): string[] {
  return "problems" in read ? read.problems.map(({ pointer, message }) => `${pointer}: ${message}`) : [];
}

/** The problems of resources as `update` finds them, and as create does. */
function problemsOf(resources: object): { update: string[]; create: string[] } {
  const base = defaultConfig({ rootless: false });
  const read = configOf({ ...base, linux: { ...base.linux, resources } });
  const create = "config" in read ? { problems: semanticProblems(read.config) } : read;
  const prefix = "/linux/resources";
  return {
    update: lines(readResources(resources)),
    create: lines(create).map((line) => (line.startsWith(prefix) ? line.slice(prefix.length) : line)),
  };
}

describe("values that no kernel takes", () => {
  const rows: [object, string][] = [
    [{ devices: [{ allow: true }] }, "/devices/0/access: expected letters of rwm, got nothing"],
    [{ devices: [{ allow: true, access: "" }] }, '/devices/0/access: expected letters of rwm, got ""'],
    [{ devices: [{ allow: false, access: "xRW" }] }, '/devices/0/access: expected letters of rwm, got "xRW"'],
    [{ devices: [{ allow: false, type: "p" }] }, '/devices/0/type: expected one of a, b, c, got "p"'],
    [{ devices: [{ allow: false, major: -2 }] }, "/devices/0/major: expected a number from -1 to 2147483647"],
    [{ blockIO: { weight: 5 } }, "/blockIO/weight: expected a number from 10 to 1000, got 5"],
    [
      { blockIO: { weightDevice: [{ major: 8, minor: 0, leafWeight: 1001 }] } },
      "/blockIO/weightDevice/0/leafWeight: expected a number from 10 to 1000, got 1001",
    ],
    [{ cpu: { idle: 2 } }, "/cpu/idle: expected a number from 0 to 1, got 2"],
    [{ memory: { swappiness: 101 } }, "/memory/swappiness: expected a number from 0 to 100, got 101"],
    [
      { hugepageLimits: [{ pageSize: "2M", limit: 1 }] },
      '/hugepageLimits/0/pageSize: expected a page size, such as "2MB", got "2M"',
    ],
    [{ hugepageLimits: [{ pageSize: 2, limit: 1 }] }, "/hugepageLimits/0/pageSize: expected a string, got 2"],
    [{ unified: { "../memory.max": "1" } }, '"../memory.max" is not the name of a cgroup file'],
    [{ rdma: { mlx5: {} } }, "/rdma/mlx5: hcaHandles or hcaObjects is missing"],
    [{ network: { priorities: [{ name: "a b", priority: 1 }] } }, "/network/priorities/0/name"],
  ];
  for (const [resources, text] of rows) {
    test(text, () => {
      const { update, create } = problemsOf(resources);
      expect(update).toHaveLength(1);
      expect(update[0]).toContain(text);
      expect(create).toEqual(update);
    });
  }
});

test("what engines write for nothing, and for all", () => {
  const resources = {
    blockIO: { weight: 0, leafWeight: 10, weightDevice: [{ major: 8, minor: 0, weight: 1000 }] },
    cpu: { idle: 1 },
    memory: { swappiness: 18446744073709551615n },
    devices: [{ allow: false, type: "", major: -1, minor: -1 }],
    hugepageLimits: [{ pageSize: "64KB", limit: 0 }],
  };
  expect(problemsOf(resources)).toEqual({ update: [], create: [] });
});

test("a file of update names its faults, and what is unknown", () => {
  expect(() => parseResources('{ "cpu": { "idle": 7 } }', "limits")).toThrow("limits: /cpu/idle: expected");
  expect(parseResources('{ "cpu": { "idel": 1 } }', "limits").unknown).toEqual(["/cpu/idel"]);
});
