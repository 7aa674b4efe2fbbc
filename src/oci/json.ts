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

/** The parts of a JSON pointer. */
export function keysOf(text: string): string[] {
  return text
    .split("/")
    .slice(1)
    .map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
}

type Reviver = (key: string, value: unknown, context: { source: string }) => unknown;

/** An integer of a document, exactly: one beyond 2^53 is a bigint. */
export type Integer = number | bigint;

/** The digits of an integer as a number, beyond 2^53 as a big integer: it keeps its value. */
export function exactInteger(digits: string): Integer {
  const number = Number(digits);
  return Number.isSafeInteger(number) ? number : BigInt(digits);
}

/** The escape of a surrogate in JSON: half of a character, if the other half is not beside it. */
const SURROGATE = /\\u[dD][89a-fA-F]/;

/** JSON that somebody else has written: as `parseJson`, and each of its texts is a text, which has a form in UTF-8. */
export function parseDocument(text: string, file: string): unknown {
  const document = parseJson(text, file);
  if (!SURROGATE.test(text)) return document;
  const problem = rare.jsonSyntax.halfCharacter(text);
  if (problem !== undefined) throw notJson(file, problem);
  return document;
}

function notJson(file: string, { line, column, why }: SyntaxProblem): HakoError {
  const message = `${file}: not JSON: line ${line}, column ${column}: ${why}`;
  return new HakoError({ code: "config", message, path: file });
}

/** JSON whose integers keep their value (see `exactInteger`). */
export function parseJson(text: string, file: string): unknown {
  const exact: Reviver = (_, value, { source }) =>
    typeof value === "number" && /^-?\d+$/.test(source) ? exactInteger(source) : value;
  if (!text.isWellFormed()) {
    throw notJson(file, rare.jsonSyntax.notUtf8(text));
  }
  try {
    // the reviver makes it slower, and few documents have such numbers
    return /\d{16}/.test(text) ? JSON.parse(text, exact as never) : JSON.parse(text);
  } catch (error) {
    const problem = rare.jsonSyntax.syntaxProblem(text);
    throw notJson(file, { ...problem, why: problem.why ?? (error as Error).message });
  }
}

/** JSON in which big integers are numbers, as `parseJson` reads them. */
export function exactJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    // few values have such numbers, and for those that have none it takes a quarter of the time
    if (!(error instanceof TypeError)) throw error;
  }
  const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };
  return JSON.stringify(value, (_, each) => (typeof each === "bigint" ? rawJSON(each.toString()) : each));
}
