import * as v from "valibot";
import { type EnvironmentLine, isEnvironmentLine } from "./environment";

/**
 * The words that schemas of OCI documents are made of.
 *
 * - What Go's decoder accepts is accepted: null means that nothing is said.
 * - A word is one schema, never a pipe of several: a seccomp profile has hundreds of texts, and this code runs once, so it stays in
 *   the interpreter.
 */

/** What a word is in JSON schema (json-schema.org, validation). scripts/schema writes it into docs/config.schema.json and docs/policy.schema.json. */
interface JsonWord {
  type: "string" | "integer" | readonly ("string" | "number")[];
  pattern?: string;
  minimum?: number | bigint;
  maximum?: number | bigint;
}

/** A schema with one check; `message` makes the error's text from the wrong input. */
export function schemaWord<T>(
  isOne: (value: unknown) => value is T,
  message: (input: unknown) => string,
  json: JsonWord,
) {
  return Object.assign(
    v.custom<T>(isOne, ({ input }) => message(input)),
    { json },
  );
}

export function isText(value: unknown): value is string {
  return typeof value === "string" && !value.includes("\0");
}

export function expectedText(input: unknown): string {
  return typeof input === "string" ? "a NUL byte is not allowed" : "expected a string";
}

export const text = schemaWord(isText, expectedText, { type: "string" });

function isNumber(value: unknown): value is number {
  return Number.isInteger(value);
}

export function isInteger(value: unknown): value is number | bigint {
  return typeof value === "bigint" || isNumber(value);
}

export function expectedNumber(input: unknown, least: number | bigint, most: number | bigint): string {
  return isInteger(input) ? `expected a number from ${least} to ${most}` : "expected an integer";
}

function inRange<T extends number | bigint>(isOne: (value: unknown) => value is T, least: T, most: T) {
  return schemaWord(
    (value): value is T => isOne(value) && value >= least && value <= most,
    (input) => expectedNumber(input, least, most),
    { type: "integer", minimum: least, maximum: most },
  );
}

/** An integer whose range goes beyond 2^53, where `parseJson` makes a bigint. */
function integer(least: number | bigint, most: number | bigint) {
  return inRange(isInteger, least, most);
}

/** An integer of a range within 2^53, which is a JavaScript number. */
export function between(least: number, most: number) {
  return inRange(isNumber, least, most);
}

const MOST_SIGNED = 2n ** 63n - 1n;
export const int64 = integer(-(2n ** 63n), MOST_SIGNED);
export const uint64 = integer(0, 2n ** 64n - 1n);
/** A limit of memory in bytes; -1 is no limit. */
export const bytes = integer(-1, MOST_SIGNED);

/** An id of a user or a group. The kernel takes 0xffffffff for "no id". */
export const id = between(0, 0xfffffffe);
export const uint32 = between(0, 0xffffffff);
export const uint16 = between(0, 0xffff);
export const int32 = between(-0x80000000, 0x7fffffff);

const nothing = v.pipe(
  v.null(),
  v.transform(() => undefined),
);

export function optional<S extends v.GenericSchema>(schema: S) {
  return v.optional(v.lazy((input): S | typeof nothing => (input === null ? nothing : schema)));
}

export function list<S extends v.GenericSchema>(schema: S) {
  return optional(v.array(schema));
}

/** Refuses lists where an object must be: valibot takes a list for an object. */
const noObject = v.custom<never>(() => false, "expected an object");

function orNoObject<S extends v.GenericSchema>(schema: S) {
  return v.lazy((input): S | typeof noObject => (Array.isArray(input) ? noObject : schema));
}

export function object<E extends v.ObjectEntries>(entries: E) {
  return orNoObject(v.object(entries));
}

/** An object whose keys the document chooses. */
export function map<S extends v.GenericSchema>(schema: S) {
  return orNoObject(v.record(v.string(), schema));
}

/** An object that has some of these keys, and no others. */
export function mapOf<T extends string, S extends v.GenericSchema>(names: readonly T[], schema: S) {
  return orNoObject(v.record(v.picklist(names, `expected ${names.join(" or ")}`), schema));
}

export const flag = optional(v.boolean());

/** A list of values. The quick look `isOne` accepts a list as a whole; where it doesn't, `schema` says of each item what is wrong. */
function listOf<T, S extends v.GenericSchema<T>>(isOne: (value: unknown) => value is T, schema: S) {
  const right = v.custom<T[]>(() => true);
  const any = v.array(schema);
  return v.lazy((input): typeof right | typeof any =>
    Array.isArray(input) && input.every(isOne) ? right : any,
  );
}

export const someTexts = listOf(isText, text);
export const texts = optional(someTexts);

function isEnvironmentText(value: unknown): value is EnvironmentLine {
  return isText(value) && isEnvironmentLine(value);
}

/** Lines NAME=value. */
export const environmentLines = optional(
  listOf(
    isEnvironmentText,
    schemaWord(isEnvironmentText, (input) => (isText(input) ? "expected NAME=value" : expectedText(input)), {
      type: "string",
      pattern: "^[^=]+=",
    }),
  ),
);
export const textMap = optional(map(text));

/** A key of a table. The key "" is what Go writes for a missing word: it is accepted, but not named in the message. */
export function nameOf<T extends string>(table: Readonly<Record<T, unknown>>, expected?: string) {
  const names = Object.keys(table) as T[];
  const known = names.filter((name) => name !== "").join(", ");
  return v.picklist(names, `expected ${expected ?? `one of ${known}`}`);
}
