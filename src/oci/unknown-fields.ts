import { pointer } from "./json";

type Keys = readonly (string | number)[];

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/**
 * JSON pointers of fields that are in a document, but not in what was parsed from it: mistyped ones, and those of other platforms and
 * of later versions of the runtime spec, which says that a runtime ignores them (config.md "Extensibility").
 */
export function unknownFields(document: unknown, parsed: unknown, keys: Keys = []): string[] {
  if (!isObject(document) || !isObject(parsed)) return [];
  return Object.entries(document).flatMap(([key, value]) => {
    const inner = [...keys, key];
    return Object.hasOwn(parsed, key) ? unknownFields(value, parsed[key], inner) : [pointer(inner)];
  });
}
