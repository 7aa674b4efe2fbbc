// The JSON schemas of config.json and of policies for editors, from the schemas that hako checks these by. Called by scripts/schema.
import { type JsonSchema, type OverrideSchemaContext, toJsonSchema } from "@valibot/to-json-schema";
import { SPEC_VERSION } from "../src/base/hako-version";
import { configSchema } from "../src/oci/config";
import { policySchema } from "../src/policy/policy-schema";

export const SCHEMA_FILE = `${import.meta.dir}/../docs/config.schema.json`;
export const POLICY_SCHEMA_FILE = `${import.meta.dir}/../docs/policy.schema.json`;

/** What the library has no form for: words of oci/schema.ts, which say themselves what they are, and what null may stand for. */
function converted({
  valibotSchema,
  jsonSchema,
  definitions,
}: OverrideSchemaContext): JsonSchema | undefined {
  if ("json" in valibotSchema) return valibotSchema.json as JsonSchema;
  // what looks at a value first: whether it is null, or a list
  if (valibotSchema.type === "lazy") return definitions[definitionOf(jsonSchema)];
  if (valibotSchema.type === "nullish")
    return { ...(jsonSchema.anyOf?.[0] as JsonSchema), default: jsonSchema.default };
  if (valibotSchema.type === "record") {
    const { additionalProperties, propertyNames } = jsonSchema;
    const names = typeof propertyNames === "object" && "enum" in propertyNames ? { propertyNames } : {};
    return { type: "object", ...names, additionalProperties };
  }
  return undefined;
}

function definitionOf({ $ref }: { $ref?: unknown }): string {
  return String($ref).replace("#/$defs/", "");
}

/** With what it refers to by number in its place, and without lists of nothing. */
function inlined(value: unknown, definitions: Record<string, unknown>): unknown {
  if (Array.isArray(value)) return value.map((each) => inlined(each, definitions));
  if (typeof value !== "object" || value === null) return value;
  if ("$ref" in value) {
    const { $ref: _, ...rest } = value;
    return inlined({ ...(definitions[definitionOf(value)] as object), ...rest }, definitions);
  }
  const kept = Object.entries(value).filter(([key, each]) => key !== "required" || each.length > 0);
  return Object.fromEntries(kept.map(([key, each]) => [key, inlined(each, definitions)]));
}

/** The schema of config.json; a number beyond 2^53 is a bigint. */
export function configJsonSchema(): object {
  return titled(
    configSchema,
    `config.json of an OCI bundle (runtime-spec ${SPEC_VERSION}, Linux), as hako reads it`,
  );
}

/** The schema of a file for `hako run --policy`, which has no other fields. */
export function policyJsonSchema(): object {
  return { ...titled(policySchema, "a policy of hako run --policy"), additionalProperties: false };
}

function titled(schema: typeof configSchema | typeof policySchema, title: string): object {
  const { $schema, $defs = {}, ...inner } = toJsonSchema(schema, { overrideSchema: converted });
  return { $schema, title, ...(inlined(inner, $defs) as object) };
}

/** A schema as text: integers keep their value. */
export function schemaText(schema: object): string {
  const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };
  const exact = (_: string, value: unknown) => (typeof value === "bigint" ? rawJSON(String(value)) : value);
  return `${JSON.stringify(schema, exact, 2)}\n`;
}

if (import.meta.main) {
  await Bun.write(SCHEMA_FILE, schemaText(configJsonSchema()));
  await Bun.write(POLICY_SCHEMA_FILE, schemaText(policyJsonSchema()));
}
