// Every field of the schema: a value of the wrong type is one line that names it, and leaves nothing behind.
import { describe, expect } from "bun:test";
import { configSchema } from "../../src/oci/config";
import { Box, type BundleConfig, e2e, expectUnchanged, hostSnapshot, needsHako } from "./support";

/** What a schema of valibot's is made of, as far as this walk looks. */
interface Node {
  type: string;
  entries?: Record<string, Node>;
  item?: Node;
  value?: Node;
  wrapped?: Node;
  /** Which schema it is for a value. */
  getter?: (value: unknown) => Node;
}

/** The keys that lead to each field that is no object or list itself; "0" stands for any index, "key" for any name. */
function fields(schema: Node, keys: readonly string[] = []): string[][] {
  switch (schema.type) {
    case "object":
      return Object.entries(schema.entries ?? {}).flatMap(([key, entry]) => fields(entry, [...keys, key]));
    case "array":
      return schema.item === undefined ? [] : fields(schema.item, [...keys, "0"]);
    case "record":
      return schema.value === undefined ? [] : fields(schema.value, [...keys, "key"]);
    case "lazy":
      // for an object that is right, and a list that is wrong
      return schema.getter === undefined ? [] : fields(schema.getter({}), keys);
    default:
      return schema.wrapped === undefined ? [[...keys]] : fields(schema.wrapped, keys);
  }
}

/** Puts a value where the keys lead; lists and objects on the way are made, what else is in them stays. */
function put(root: object, keys: readonly string[], value: unknown): void {
  let holder = root as Record<string, unknown>;
  keys.forEach((key, index) => {
    if (index === keys.length - 1) holder[key] = value;
    else {
      const next = keys[index + 1] === "0" ? [] : {};
      const there = holder[key];
      if (there === undefined || there === null || typeof there !== "object") holder[key] = next;
      holder = holder[key] as Record<string, unknown>;
    }
  });
}

const ALL = fields(configSchema as unknown as Node);

describe("a value of the wrong type", () => {
  e2e("the walk finds the schema's fields", () => {
    const pointers = ALL.map((keys) => `/${keys.join("/")}`);
    expect(new Set(pointers).size).toBe(pointers.length);
    for (const pointer of [
      "/ociVersion",
      "/process/user/additionalGids/0",
      "/mounts/0/uidMappings/0/size",
      "/hooks/poststop/0/timeout",
      "/linux/timeOffsets/key/secs",
      "/linux/resources/memory/limit",
      "/linux/resources/blockIO/throttleReadBpsDevice/0/rate",
      "/linux/seccomp/syscalls/0/args/0/op",
      "/linux/personality/domain",
    ])
      expect(pointers).toContain(pointer);
    expect(pointers.length).toBeGreaterThan(150);
  }, [needsHako]);

  // one bundle for the fields of one part: each test leaves the host as it was
  const parts = Map.groupBy(ALL, (keys) => keys.slice(0, keys[0] === "linux" ? 2 : 1).join("/"));
  for (const [part, members] of parts) {
    e2e(`/${part}: ${members.length} fields`, async () => {
      using box = new Box();
      const before = hostSnapshot(box.root);
      for (const keys of members) {
        const pointer = `/${keys.join("/")}`;
        const bundle = box.bundle(["true"], (config: BundleConfig) => {
          config.root.path = box.dir;
          put(config, keys, { wrong: true });
        });
        const { status, stderr } = box.hako("create", "--bundle", bundle, box.id());
        expect([pointer, status]).toEqual([pointer, 1]);
        expect(stderr).toMatch(/^hako: [^\n]*\n$/);
        // whatever is asked of a machine, there is none
        const why = keys[0] === "vm" ? "asks for a virtual machine" : "expected [^;]*, got ";
        expect(stderr).toMatch(new RegExp(`config\\.json: (.*; )?${pointer}: ${why}`));
      }
      await expectUnchanged(before, box.root);
    }, [needsHako]);
  }
});
