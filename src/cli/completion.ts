import type { Argument, Arguments } from "./arguments";
import { bashScript, zshScript } from "./completion-bash";
import { fishScript } from "./completion-fish";
import { type NamedCommand, spellings } from "./tables";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** What can stand in a place of the line: some words, or those that the shell knows itself. */
export type Candidates = readonly string[] | "containers" | "files";

export interface FlagWords {
  /** "-b", "--bundle". */
  spelling: string;
  description: string;
  /** What follows it; undefined if nothing does. */
  value: Candidates | undefined;
  /** Files too may follow. */
  orFile: boolean;
}

/** What a command's line is made of. */
export interface Words {
  path: string;
  description: string;
  flags: readonly FlagWords[];
  operands: readonly Candidates[];
  /** What comes after the declared operands; undefined if nothing does. */
  rest: Candidates | undefined;
}

/** Flags and operands of one command, or the global flags. */
function wordsOf(path: string, description: string, args: Arguments, rest?: string): Words {
  const entries = Object.entries(args);
  const operands = entries.filter(([, { type }]) => type === "positional");
  const more = rest === undefined ? undefined : rest.startsWith("[CONTAINER") ? "containers" : "files";
  return {
    path,
    description,
    flags: entries.flatMap(([name, argument]) => flagWords(name, argument)),
    operands: operands.map(([, { completes }]) => completes ?? "files"),
    rest: more,
  };
}

function flagWords(name: string, argument: Argument): FlagWords[] {
  const hints = (argument.valueHint ?? "").split("|");
  // in a hint such as "none|host|PATH" the words in small letters are meant as they stand
  const fixed =
    argument.type === "enum" ? (argument.options ?? []) : hints.filter((hint) => /^[a-z]+$/.test(hint));
  const value = argument.type === "boolean" ? undefined : fixed.length > 0 ? fixed : "files";
  const orFile = argument.type === "string" && fixed.length > 0 && fixed.length < hints.length;
  return spellings(name, argument).map((spelling) => ({
    spelling,
    description: argument.description ?? "",
    value,
    orFile,
  }));
}

/** A completion script for a shell, made from the same tables as `--help`. */
export function completionScript(
  shell: Shell,
  globals: Arguments,
  commands: readonly NamedCommand[],
): string {
  const own = wordsOf("", "", globals);
  const all = commands.map(({ path, command }) =>
    wordsOf(path, command.meta.description, command.args, command.rest),
  );
  if (shell === "fish") return fishScript(own, all);
  return shell === "bash" ? bashScript(own, all) : zshScript(own, all);
}

/** The commands of a group; none if it is no group. */
export function innerNames(all: readonly Words[], group: string): string[] {
  return all
    .filter(({ path }) => path.startsWith(`${group} `))
    .map(({ path }) => path.slice(group.length + 1));
}
