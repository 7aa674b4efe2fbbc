import { HakoError } from "../base/errors";
import type { SyntaxProblem } from "./json-syntax";

/** Loaded on first use. */
const rare = {
  get jsonSyntax() {
    return require("./json-syntax") as typeof import("./json-syntax");
  },
};

/** The path of a value in a JSON document, as a JSON pointer (RFC 6901). */
export function pointer(keys: readonly (string | number)[]): string {
  return keys.map((key) => `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

/** The keys of a JSON pointer. */
export function keysOf(text: string): string[] {
  return text
    .split("/")
    .slice(1)
    .map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
}

type Reviver = (key: string, value: unknown, context: { source: string }) => unknown;

/** An integer of a JSON document. One beyond 2^53 is a bigint, so that it keeps its value. */
export type Integer = number | bigint;

/** The integer that these digits are. */
export function exactInteger(digits: string): Integer {
  const number = Number(digits);
  return Number.isSafeInteger(number) ? number : BigInt(digits);
}

/** An escape of half of a surrogate pair, which is a character only beside its other half. */
const SURROGATE = /\\u[dD][89a-fA-F]/;

/** Parses a document from a caller: as `parseJson`, and every string of it has a form in UTF-8. */
export function parseDocument(text: string, file: string): unknown {
  const document = parseJson(text, file);
  if (!SURROGATE.test(text)) return document;
  const problem = rare.jsonSyntax.halfCharacter(text);
  if (problem !== undefined) throw notJson(file, problem);
  return document;
}

/** As MOST_NESTED, for which nothing is loaded. */
const MANY_BRACKETS = 1000;

function notJson(file: string, { line, column, why }: SyntaxProblem): HakoError {
  const message = `${file}: not JSON: line ${line}, column ${column}: ${why}`;
  return new HakoError({ code: "config", message, path: file });
}

/** Parses JSON; integers keep their value (`Integer`). */
export function parseJson(text: string, file: string): unknown {
  const document = parsed(text, file);
  // few documents have so many brackets that they could be nested too deeply
  if (text.split("{").length + text.split("[").length > MANY_BRACKETS) refuseNesting(document, file);
  return document;
}

/** Refuses a document that is nested too deeply for who goes through it. */
export function refuseNesting(document: unknown, file: string): void {
  const { deepField, MOST_NESTED } = rare.jsonSyntax;
  const field = deepField(document);
  if (field === undefined) return;
  const where = field.length === 0 ? "the document" : pointer(field);
  const message = `${file}: ${where}: nested more than ${MOST_NESTED} deep`;
  throw new HakoError({ code: "config", message, path: file });
}

function parsed(text: string, file: string): unknown {
  const exact: Reviver = (_, value, { source }) =>
    typeof value === "number" && /^-?\d+$/.test(source) ? exactInteger(source) : value;
  if (!text.isWellFormed()) {
    throw notJson(file, rare.jsonSyntax.notUtf8(text));
  }
  try {
    // parsing is slower with the reviver, and few documents have numbers of 16 digits
    return /\d{16}/.test(text) ? JSON.parse(text, exact as never) : JSON.parse(text);
  } catch (error) {
    const problem = rare.jsonSyntax.syntaxProblem(text);
    throw notJson(file, { ...problem, why: problem.why ?? (error as Error).message });
  }
}

/** Writes JSON; a bigint becomes a number, as `parseJson` reads it. */
export function exactJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    // JSON.stringify refuses bigints. Few values have one, and the others take a quarter of the time without a replacer
    if (!(error instanceof TypeError)) throw error;
  }
  const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };
  return JSON.stringify(value, (_, each) => (typeof each === "bigint" ? rawJSON(each.toString()) : each));
}
