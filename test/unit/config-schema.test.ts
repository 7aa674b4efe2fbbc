// docs/config.schema.json: as scripts/schema makes it, with the fields of the runtime spec.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import {
  configJsonSchema,
  POLICY_SCHEMA_FILE,
  policyJsonSchema,
  SCHEMA_FILE,
  schemaText,
} from "../../scripts/config-schema";
import { defaultConfig } from "../../src/oci/default";

interface Node {
  properties?: Record<string, Node>;
  required?: string[];
  items?: Node;
  additionalProperties?: Node;
  propertyNames?: { enum: string[] };
  enum?: string[];
}

const schema: Node = await Bun.file(SCHEMA_FILE).json();
const spec: { fields: string[] } = await Bun.file(join(import.meta.dir, "runtime-spec-fields.json")).json();

/** Pointers of all fields; names that the document chooses are "*". */
function fieldsOf({ properties = {}, items, additionalProperties, propertyNames }: Node, at = ""): string[] {
  const named = Object.entries(properties);
  for (const name of propertyNames?.enum ?? []) named.push([name, additionalProperties ?? {}]);
  const some = propertyNames === undefined ? additionalProperties : undefined;
  return [
    ...named.flatMap(([name, each]) => [`${at}/${name}`, ...fieldsOf(each, `${at}/${name}`)]),
    ...[items, some].flatMap((each) => (each === undefined ? [] : fieldsOf(each, `${at}/*`))),
  ];
}

/** Fields of the runtime spec that hako's schema does not look into, and why. */
const LEFT_OUT: Readonly<Record<string, RegExp>> = {
  "other platforms": /^\/(freebsd|solaris|windows|zos)$/,
  "of Windows": /^\/process\/commandLine$/,
  "a machine is refused, whatever it would be": /^\/vm\//,
};

describe("docs/config.schema.json", () => {
  test("is what scripts/schema makes", () => {
    expect(schema).toEqual(JSON.parse(schemaText(configJsonSchema())));
  });

  test("has the fields of the runtime spec, and no others", () => {
    const ours = fieldsOf(schema);
    const missing = spec.fields.filter((field) => !ours.includes(field));
    const why = Object.values(LEFT_OUT);
    expect(missing.filter((field) => !why.some((fields) => fields.test(field)))).toEqual([]);
    for (const fields of why) expect(missing.some((field) => fields.test(field))).toBe(true);
    expect(ours.filter((field) => !spec.fields.includes(field))).toEqual([]);
  });

  test("has what an editor offers: words, and what is needed", () => {
    const { properties = {}, required } = schema;
    expect(required).toEqual(["ociVersion"]);
    expect(properties.linux?.properties?.namespaces?.items?.properties?.type?.enum).toContain("cgroup");
    expect(JSON.stringify(schema)).not.toContain("$ref");
  });

  test("its fields are those of what hako spec writes", () => {
    const ours = new Set(fieldsOf(schema));
    const used = (value: unknown, at: string): string[] => {
      if (typeof value !== "object" || value === null) return [];
      return Object.entries(value).flatMap(([key, each]) => {
        const field = `${at}/${Array.isArray(value) ? "*" : key}`;
        return Array.isArray(value) ? used(each, field) : [field, ...used(each, field)];
      });
    };
    for (const rootless of [true, false])
      expect(used(defaultConfig({ rootless }), "").filter((field) => !ours.has(field))).toEqual([]);
  });
});

describe("docs/policy.schema.json", () => {
  test("is what scripts/schema makes, and has no other fields", async () => {
    const written = await Bun.file(POLICY_SCHEMA_FILE).json();
    expect(written).toEqual(JSON.parse(schemaText(policyJsonSchema())));
    expect(written).toMatchObject({ additionalProperties: false, properties: { hide: { type: "array" } } });
  });
});
