import type { Argument, Arguments } from "./arguments";
import type { Command } from "./command";
import { descriptionOf, operandWords, shownCommands, spellings } from "./tables";

function flagLine(name: string, argument: Argument): string {
  const hint =
    argument.type === "boolean"
      ? ""
      : ` ${argument.valueHint ?? (argument.type === "enum" ? argument.options?.join("|") : undefined) ?? "VALUE"}`;
  return `  ${spellings(name, argument).join(", ")}${hint}${argument.multiple ? " ..." : ""}`;
}

/** Two columns, the left one as wide as its longest cell. */
function columns(rows: readonly [string, string][]): string {
  const width = Math.min(34, Math.max(0, ...rows.map(([left]) => left.length))) + 2;
  return rows
    .map(([left, right]) =>
      left.length + 2 > width ? `${left}\n${" ".repeat(width)}${right}\n` : `${left.padEnd(width)}${right}\n`,
    )
    .join("");
}

function flagTable(args: Arguments = {}): string {
  return columns(
    Object.entries(args)
      .filter(([, argument]) => argument.type !== "positional")
      .map(([name, argument]) => [
        flagLine(name, argument),
        `${argument.description ?? ""}${typeof argument.default === "string" ? ` (default ${argument.default})` : ""}`,
      ]),
  );
}

/** The usage line of one command: `path` is its name with the group's before it. */
export function commandUsage(path: string, command: Command): string {
  const flags = flagTable(command.args) === "" ? [] : ["[FLAGS]"];
  return `usage: ${["hako", path, ...flags, ...operandWords(command)].join(" ")}`;
}

/** The usage text of one command. */
export function commandHelp(path: string, command: Command): string {
  const flags = flagTable(command.args);
  const examples = (command.examples ?? []).map((example) => `  ${example}\n`).join("");
  return `${descriptionOf(command)}\n\n${commandUsage(path, command)}\n${
    flags === "" ? "" : `\nflags:\n${flags}`
  }\nexamples:\n${examples}`;
}

/** A table of the commands of a group. */
function commandTable(group: Command): string {
  return columns(shownCommands(group).map(([name, command]) => [`  ${name}`, descriptionOf(command)]));
}

export function groupHelp(path: string, group: Command): string {
  return `${descriptionOf(group)}\n\nusage: hako ${path} COMMAND ...\n\ncommands:\n${commandTable(group)}`;
}

export function programHelp(program: Command): string {
  return `${descriptionOf(program)}\n\nusage: hako [GLOBAL FLAGS] COMMAND [FLAGS] [OPERANDS]\n\nglobal flags:\n${flagTable(program.args)}\ncommands:\n${commandTable(program)}\n"hako COMMAND --help" shows a command's flags and examples.\n`;
}
