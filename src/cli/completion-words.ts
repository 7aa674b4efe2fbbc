import type { Argument } from "./arguments";
import type { Command } from "./command";
import { aliasesOf } from "./find-command";
import { allCommands, descriptionOf, shownCommands, spellings } from "./tables";

/** What can stand in a place of the line: some words, or those that the shell knows itself. */
export type Candidates = readonly string[] | "containers" | "files";

export interface FlagWords {
  /** "-b", "--bundle". */
  spelling: string;
  description: string;
  /** What is offered for the flag's value; undefined for a flag without one. */
  value: Candidates | undefined;
  /** Whether files are offered beside these words. */
  orFile: boolean;
}

/** What a command's line is made of. */
export interface CommandWords {
  path: string;
  flags: readonly FlagWords[];
  operands: readonly Candidates[];
  /** What is offered after the declared operands; undefined if nothing may follow. */
  rest: Candidates | undefined;
}

/** A command or group, as the first word of a command line. */
export interface FirstWord {
  name: string;
  /** Other words for the command, which are understood but not offered. */
  aliases: readonly string[];
  description: string;
  /** The second words of a group. */
  inner: readonly { name: string; description: string }[];
}

/** All that a completion script is made from. */
export interface CommandLine {
  globals: CommandWords;
  commands: readonly CommandWords[];
  first: readonly FirstWord[];
}

/** Flags and operands of one command, or the global flags. */
function wordsOf(path: string, { args = {}, rest }: Command): CommandWords {
  const entries = Object.entries(args);
  const operands = entries.filter(([, { type }]) => type === "positional");
  const more = rest === undefined ? undefined : rest.startsWith("[CONTAINER") ? "containers" : "files";
  return {
    path,
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

export async function commandLineOf(program: Command): Promise<CommandLine> {
  const { commands } = await allCommands(program);
  const first = shownCommands(program).map(([name, command]) => ({
    name,
    aliases: aliasesOf(command.meta),
    description: descriptionOf(command),
    inner: commands
      .filter(({ path }) => path.startsWith(`${name} `))
      .map(({ path, command: one }) => ({
        name: path.slice(name.length + 1),
        description: descriptionOf(one),
      })),
  }));
  return {
    globals: wordsOf("", program),
    commands: commands.map(({ path, command }) => wordsOf(path, command)),
    first,
  };
}
