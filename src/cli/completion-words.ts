import { signalNames } from "../linux/process/signals";
import type { Argument, Arguments } from "./arguments";
import type { Command } from "./command";
import { aliasesOf } from "./find-command";
import { allCommands, descriptionOf, shownCommands, spellings } from "./tables";

/** What can stand in a place of the line: some words, those that the shell knows itself, or ids. */
export type Candidates = readonly string[] | "files" | "commands" | ContainersIn;

/** Ids of containers in one of these states; of all if none is named. */
export interface ContainersIn {
  states: readonly string[];
}

/** A value of which the hint says that it is, or begins with, a file's name. */
const FILE_HINT = /^(DIR|FILE|PATH|PROGRAM|SOCK|SOURCE|SPEC|VALUE)\b/;
/** Words for values whose hint is one. */
const HINTED: Readonly<Record<string, () => readonly string[]>> = { SIGNAL: signalNames };

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
  /** The operand whose place is not there with one of these words before it. */
  skips: Skip | undefined;
}

/** `place` is left out when one of `flags` is on the line, or with `words` a flag that is a value in itself, as -9 and -KILL. */
export interface Skip {
  place: number;
  flags: readonly string[];
  words: boolean;
}

/** Whether the candidates of `rest` are for each further operand; of a command only the first word is known. */
export function restRepeats({ rest }: CommandWords): boolean {
  return typeof rest === "object" && "states" in rest;
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
  const candidates = operands.map(([, argument]) => operandCandidates(argument));
  return {
    path,
    flags: entries.flatMap(([name, argument]) => flagWords(name, argument)),
    operands: candidates,
    rest: rest === undefined ? undefined : restCandidates(rest, candidates),
    skips: skipOf(args, operands),
  };
}

function skipOf(args: Arguments, operands: readonly [string, Argument][]): Skip | undefined {
  const place = operands.findIndex(([, { insteadOf }]) => insteadOf !== undefined);
  const name = operands[place]?.[1].insteadOf;
  const flag = name === undefined ? undefined : args[name];
  if (name === undefined || flag === undefined) return undefined;
  return { place, flags: spellings(name, flag), words: flag.fromWord !== undefined };
}

function operandCandidates({ completes, states = [] }: Argument): Candidates {
  return completes === "containers" ? { states } : (completes ?? "files");
}

/** What follows the operands: more of them, a command, or what is the command's own matter. */
function restCandidates(rest: string, operands: readonly Candidates[]): Candidates {
  if (rest.startsWith("[CONTAINER"))
    return operands.find((each) => typeof each === "object" && "states" in each) ?? "files";
  if (/^\[?-- COMMAND/.test(rest)) return ["--"];
  return rest.startsWith("[COMMAND") ? "commands" : "files";
}

function flagWords(name: string, argument: Argument): FlagWords[] {
  const hints = (argument.valueHint ?? "").split("|");
  // in a hint such as "none|host|PATH" the words in small letters are meant as they stand
  const fixed =
    argument.type === "enum"
      ? (argument.options ?? [])
      : hints.flatMap((hint) => (/^[a-z]+$/.test(hint) ? hint : (HINTED[hint]?.() ?? [])));
  const file = argument.type === "string" && hints.some((hint) => hint === "" || FILE_HINT.test(hint));
  const value = argument.type === "boolean" ? undefined : file && fixed.length === 0 ? "files" : fixed;
  const orFile = file && fixed.length > 0;
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
      .filter((each) => each.path.startsWith(`${name} `) && each.command.meta?.hidden !== true)
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
