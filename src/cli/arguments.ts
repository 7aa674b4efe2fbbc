import type { ArgDef } from "citty";
import { parseBoolean } from "../base/boolean";
import { HakoError } from "../base/errors";

/** Loaded on first use. */
const rare = {
  /** Loaded for an error. */
  get hints() {
    return require("./hints") as typeof import("./hints");
  },
};

/** A flag or operand: citty's definition, with fields that citty has not. */
export type Argument = ArgDef & {
  /** A flag may be given several times. */
  multiple?: boolean;
  /** A boolean is undefined, not false, when it is not given. */
  tristate?: boolean;
  /** An empty value is not taken for a missing one: the command refuses it, for to go on without a limit, say, would be worse. */
  keepsEmpty?: boolean;
  /** The value that a word such as -9, which is no flag's name, means; undefined if it means none. */
  fromWord?: (word: string) => string | undefined;
  /** An operand whose place is not there when this flag is given. */
  insteadOf?: string;
  /** What a shell offers for an operand: ids of containers that exist, or some words; files if not given. */
  completes?: "containers" | readonly string[];
  /** Of containers only those in one of these states are offered, where the command refuses others; all if not given. */
  states?: readonly string[];
};
export type Arguments = Record<string, Argument>;

/** The value that an argument has after parsing. */
type Value<A extends Argument> = A extends { multiple: true }
  ? string[]
  : A extends { type: "boolean" }
    ? A extends { tristate: true }
      ? boolean | undefined
      : boolean
    : A extends { required: true } | { default: string }
      ? string
      : string | undefined;
export type ArgumentValues<A extends Arguments> = { [K in keyof A]: Value<A[K]> };

export interface ParsedArguments<A extends Arguments> {
  values: ArgumentValues<A>;
  /** What follows the declared operands. */
  rest: string[];
  /** With `stopAtOperand` as flags' names: `--` stands right after the declared operands, of which some may be missing. */
  separated: boolean;
  /** `--help` stands among the flags; the rest of the line was not parsed. */
  help: boolean;
}

export interface ParseOptions {
  /**
   * true: flags end at the first operand, and everything after it belongs to somebody else. Flags' names: so it is if one of them
   * was given before; `--` then stands between the declared operands and the others.
   */
  stopAtOperand?: boolean | readonly string[];
  /** Accepts operands after the declared ones. */
  rest?: boolean;
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

type RawValues = Record<string, string | boolean | string[] | undefined>;

/**
 * Parses flags by their table: `--flag value`, `--flag=value`, `-f value`, `-f=value`, `-ab` for booleans, of which the last
 * may have a value: `-abf value`, `-abf/value`. An unknown flag is wrong usage. An empty value is one that was not given, as for Go's programs: scripts write `--pid-file "$FILE"`.
 * citty's own parser reads runc's command lines in another way (docs/decisions/command-line-parser.md).
 */
export function parseArguments<const A extends Arguments>(
  raw: readonly string[],
  definitions: A,
  options: ParseOptions = {},
): ParsedArguments<A> {
  const values: RawValues = {};
  for (const [name, definition] of Object.entries(definitions)) values[name] = unset(definition);
  const { stopAtOperand = false } = options;
  const ends = (): boolean =>
    typeof stopAtOperand === "boolean"
      ? stopAtOperand
      : stopAtOperand.some((name) => values[name] !== undefined);
  const operands: string[] = [];
  let index = 0;
  for (; index < raw.length; index++) {
    const word = raw[index] ?? "";
    if (word === "--") {
      index++;
      if (typeof stopAtOperand === "boolean" || !ends()) break;
      const { rest, ...before } = finish(definitions, values, operands, options);
      if (rest[0] !== undefined) throw HakoError.usage(`unexpected operand "${rest[0]}"`);
      return { ...before, rest: raw.slice(index), separated: true } as ParsedArguments<A>;
    }
    if (!word.startsWith("-") || word === "-") {
      if (ends()) break;
      operands.push(word);
      continue;
    }
    if ((word === "--help" || word === "-h") && findFlag(definitions, "help") === undefined)
      return { values: values as ArgumentValues<A>, rest: [], separated: false, help: true };
    index += takeFlag(word, raw[index + 1], definitions, values);
  }
  operands.push(...raw.slice(index));
  const finished = finish(definitions, values, operands, options);
  return { ...finished, separated: ends() && finished.rest[0] === "--" } as ParsedArguments<A>;
}

/** The value of an argument that is not given. */
function unset({ type, multiple, tristate, default: value }: Argument): RawValues[string] {
  if (multiple) return [];
  if (type === "boolean") return tristate ? undefined : (value ?? false);
  return value as string | undefined;
}

/** Stores one flag's value; returns how many further words it took. */
function takeFlag(word: string, next: string | undefined, definitions: Arguments, values: RawValues): 0 | 1 {
  const equals = word.indexOf("=");
  const shown = equals < 0 ? word : word.slice(0, equals);
  const name = shown.replace(/^--?/, "");
  const found = findFlag(definitions, name);
  if (found === undefined) {
    if (takeFromWord(word, definitions, values)) return 0;
    return takeLetters(word, shown, next, definitions, values);
  }
  return takeValue(shown, found, equals < 0 ? undefined : word.slice(equals + 1), next, values);
}

/** Takes a word that is a flag's value in itself; false if it is none. */
function takeFromWord(word: string, definitions: Arguments, values: RawValues): boolean {
  for (const [key, { fromWord }] of Object.entries(definitions)) {
    const value = fromWord?.(word);
    if (value === undefined) continue;
    values[key] = value;
    return true;
  }
  return false;
}

/**
 * Takes flags of one letter that stand together. The value of the last may be joined to it, unless it begins with a lower-case letter: that
 * may be a long flag with one dash, mistyped.
 */
function takeLetters(
  word: string,
  shown: string,
  next: string | undefined,
  definitions: Arguments,
  values: RawValues,
): 0 | 1 {
  const letters = word.startsWith("--") ? "" : word.slice(1);
  const unknown = (letter: string) => {
    const hintFor = (name: string) => rare.hints.flagHint(name, longNames(definitions));
    return HakoError.usage(`unknown flag ${shown}`, hintFor(shown.replace(/^--?/, "")) ?? hintFor(letter));
  };
  const taken: string[] = [];
  for (const [at, letter] of [...letters].entries()) {
    const flag = findFlag(definitions, letter);
    if (flag === undefined) throw unknown(letter);
    const joined = letters.slice(at + 1);
    if (flag[1].type === "boolean") taken.push(flag[0]);
    else if (/^[a-z]/.test(joined)) throw unknown(joined.charAt(0));
    else {
      for (const key of taken) values[key] = true;
      return takeValue(
        `-${letter}`,
        flag,
        joined === "" ? undefined : joined.replace(/^=/, ""),
        next,
        values,
      );
    }
  }
  if (taken.length === 0) throw unknown("");
  for (const key of taken) values[key] = true;
  return 0;
}

/** Stores one flag's value, which is joined to it or the next word; returns how many further words it took. */
function takeValue(
  shown: string,
  [key, definition]: [string, Argument],
  inline: string | undefined,
  next: string | undefined,
  values: RawValues,
): 0 | 1 {
  if (definition.type === "boolean") {
    const truth = inline === undefined ? true : parseBoolean(inline);
    if (truth === undefined) throw HakoError.usage(`${shown}: "${inline}" is neither true nor false`);
    values[key] = truth;
    return 0;
  }
  const value = inline ?? next;
  // podman looks for these words, which are those of Go's flags
  if (value === undefined) throw HakoError.usage(`flag needs an argument: ${shown}`);
  if (definition.multiple) (values[key] as string[]).push(value);
  else if (value === "" && !definition.keepsEmpty) values[key] = unset(definition);
  else if (definition.type === "enum" && !definition.options?.includes(value)) {
    throw HakoError.usage(`${shown}: "${value}" is not one of ${definition.options?.join(", ")}`);
  } else values[key] = value;
  return inline === undefined ? 1 : 0;
}

function finish(
  definitions: Arguments,
  values: RawValues,
  operands: string[],
  options: ParseOptions,
): { values: RawValues; rest: string[]; help: false } {
  for (const [name, definition] of Object.entries(definitions)) {
    if (definition.type === "positional") {
      const operand = operands.shift();
      if (operand !== undefined && (operand !== "" || definition.required || definition.keepsEmpty))
        values[name] = operand;
    }
    if (definition.required && values[name] === undefined) {
      throw HakoError.usage(`missing ${definition.type === "positional" ? name.toUpperCase() : `--${name}`}`);
    }
  }
  if (operands.length > 0 && !options.rest) throw HakoError.usage(`unexpected operand "${operands[0]}"`);
  return { values, rest: operands, help: false };
}
