import { pointer } from "./json";

type Keys = readonly (string | number)[];

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/**
 * JSON pointers of what a document has and what was parsed from it has not: typing errors, and fields of other platforms and of
 * later versions of the runtime spec, which says that they do nothing (config.md "Extensibility").
 */
export function unknownFields(document: unknown, parsed: unknown, keys: Keys = []): string[] {
  if (!isObject(document) || !isObject(parsed)) return [];
  return Object.entries(document).flatMap(([key, value]) => {
    const inner = [...keys, key];
    return Object.hasOwn(parsed, key) ? unknownFields(value, parsed[key], inner) : [pointer(inner)];
  });
}
