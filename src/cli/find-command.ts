import { HakoError } from "../base/errors";
import type { Command, LazyCommand, SubCommands } from "./command";

/** Loaded on first use. */
const rare = {
  get hints() {
    return require("./hints") as typeof import("./hints");
  },
};

/** A command and how it is called: "kill", or "cgroup show" in a group. */
export interface NamedCommand {
  path: string;
  command: Command;
}

/** What asks for a group's own help, behind the group's name. */
const HELP: readonly (string | undefined)[] = ["--help", "-h"];

export async function loadedCommand(entry: Command | LazyCommand): Promise<Command> {
  return typeof entry === "function" ? await entry() : entry;
}

/** Other names of a command or an argument. */
export function aliasesOf(named: { alias?: string | string[] } | undefined): string[] {
  const alias = named?.alias ?? [];
  return Array.isArray(alias) ? alias : [alias];
}

/** A command by its name, or by an alias. */
function entryOf(commands: SubCommands, word: string): [name: string, Command | LazyCommand] | undefined {
  const entry = Object.hasOwn(commands, word) ? commands[word] : undefined;
  if (entry !== undefined) return [word, entry];
  return Object.entries(commands).find(([, { meta }]) => aliasesOf(meta).includes(word));
}

/** The command that the words of a command line begin with, and the words behind its name; a group where its help is asked for. */
export async function findCommand(
  program: Command,
  given: readonly string[],
): Promise<NamedCommand & { words: readonly string[] }> {
  let command = program;
  let path = "";
  let words = given;
  while (command.subCommands !== undefined) {
    const [word, ...others] = words;
    if (path !== "" && HELP.includes(word)) break;
    const named = word === undefined ? undefined : entryOf(command.subCommands, word);
    const found =
      named ??
      (word === undefined || command.usual === undefined
        ? undefined
        : entryOf(command.subCommands, command.usual));
    if (found === undefined) throw unknownCommand(path, command.subCommands, word);
    command = await loadedCommand(found[1]);
    path = path === "" ? found[0] : `${path} ${found[0]}`;
    if (named !== undefined) words = others;
  }
  return { path, command, words };
}

function unknownCommand(group: string, commands: SubCommands, word: string | undefined): HakoError {
  const names = Object.keys(commands);
  if (group !== "") {
    const message = word === undefined ? `${group}: which command?` : `unknown command "${group} ${word}"`;
    return HakoError.usage(message, names.join(", "));
  }
  const hint = rare.hints.commandHint(word ?? "", names);
  return HakoError.usage(`unknown command "${word}"`, hint);
}
