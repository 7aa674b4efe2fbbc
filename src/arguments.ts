import type { ArgDef } from "citty";
import { HakoError } from "./errors";
import { flagHint } from "./suggestions";

/** A flag or operand: citty's definition, and whether a flag may be given several times. */
export type Argument = ArgDef & { multiple?: boolean };
export type Arguments = Record<string, Argument>;

/** The value that an argument has after parsing. */
type Value<A extends Argument> = A extends { multiple: true }
  ? string[]
  : A extends { type: "boolean" }
    ? boolean
    : A extends { required: true } | { default: string }
      ? string
      : string | undefined;
export type Values<A extends Arguments> = { [K in keyof A]: Value<A[K]> };

export interface Parsed<A extends Arguments> {
  values: Values<A>;
  /** What follows the declared operands. */
  rest: string[];
}

export interface ParseOptions {
  /** Flags end at the first operand: everything after it belongs to somebody else. */
  stopAtOperand?: boolean;
  /** Accepts operands after the declared ones. */
  rest?: boolean;
  /** `--` stands between the declared operands and the others. */
  separated?: boolean;
}

function usage(message: string, hint?: string): HakoError {
  return new HakoError({ code: "usage", message, hint });
}

function findFlag(definitions: Arguments, name: string): [string, Argument] | undefined {
  return Object.entries(definitions).find(([key, definition]) => {
    if (definition.type === "positional") return false;
    const alias = "alias" in definition ? definition.alias : undefined;
    return key === name || (Array.isArray(alias) ? alias.includes(name) : alias === name);
  });
}

function longNames(definitions: Arguments): string[] {
  return Object.keys(definitions).filter((name) => definitions[name]?.type !== "positional");
}

/**
 * Parses flags by their table: `--flag value`, `--flag=value`, `-f value`, `-f=value`, `-ab` for booleans. An unknown flag is
 * wrong usage. citty's own parser is not used: it accepts unknown flags, reads any `--no-x` as a negation, does
 * not stop at the first operand, and costs 2 ms.
 */
export function parseArguments<const A extends Arguments>(
  raw: readonly string[],
  definitions: A,
  options: ParseOptions = {},
): Parsed<A> {
  const values: Record<string, string | boolean | string[] | undefined> = {};
  for (const [name, definition] of Object.entries(definitions)) {
    values[name] = definition.multiple
      ? []
      : definition.type === "boolean"
        ? (definition.default ?? false)
        : (definition.default as string | undefined);
  }
  const operands: string[] = [];
  let index = 0;
  for (; index < raw.length; index++) {
    const word = raw[index] ?? "";
    if (word === "--") {
      if (options.separated) finish(definitions, values, [...operands], { rest: true });
      index++;
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      if (options.stopAtOperand) break;
      operands.push(word);
      continue;
    }
    index += takeFlag(word, raw[index + 1], definitions, values);
  }
  operands.push(...raw.slice(index));
  return finish(definitions, values, operands, options) as Parsed<A>;
}

/** Stores one flag's value; returns how many further words it took. */
function takeFlag(
  word: string,
  next: string | undefined,
  definitions: Arguments,
  values: Record<string, string | boolean | string[] | undefined>,
): 0 | 1 {
  const equals = word.indexOf("=");
  const shown = equals < 0 ? word : word.slice(0, equals);
  const name = shown.replace(/^--?/, "");
  const found = findFlag(definitions, name);
  if (found === undefined) {
    const letters = /^-[A-Za-z]{2,}$/.test(word)
      ? [...name].map((letter) => findFlag(definitions, letter))
      : [];
    if (letters.length === 0 || letters.some((flag) => flag?.[1].type !== "boolean")) {
      const unknown = letters.length === 0 ? name : [...name].find((_, at) => letters[at] === undefined);
      throw usage(`unknown flag ${shown}`, flagHint(unknown ?? name, longNames(definitions)));
    }
    for (const flag of letters) if (flag !== undefined) values[flag[0]] = true;
    return 0;
  }
  const [key, definition] = found;
  const inline = equals < 0 ? undefined : word.slice(equals + 1);
  if (definition.type === "boolean") {
    if (inline !== undefined && !["true", "false", "1", "0"].includes(inline)) {
      throw usage(`${shown}: "${inline}" is neither true nor false`);
    }
    values[key] = inline === undefined || inline === "true" || inline === "1";
    return 0;
  }
  const value = inline ?? next;
  if (value === undefined) throw usage(`flag ${shown} needs a value`);
  if (definition.type === "enum" && !definition.options?.includes(value)) {
    throw usage(`${shown}: "${value}" is not one of ${definition.options?.join(", ")}`);
  }
  if (definition.multiple) (values[key] as string[]).push(value);
  else values[key] = value;
  return inline === undefined ? 1 : 0;
}

function finish(
  definitions: Arguments,
  values: Record<string, string | boolean | string[] | undefined>,
  operands: string[],
  options: ParseOptions,
): { values: Record<string, unknown>; rest: string[] } {
  for (const [name, definition] of Object.entries(definitions)) {
    if (definition.type === "positional") {
      const operand = operands.shift();
      if (operand !== undefined) values[name] = operand;
    }
    if (definition.required && values[name] === undefined) {
      throw usage(`missing ${definition.type === "positional" ? name.toUpperCase() : `--${name}`}`);
    }
  }
  if (operands.length > 0 && !options.rest) throw usage(`unexpected operand "${operands[0]}"`);
  return { values, rest: operands };
}
