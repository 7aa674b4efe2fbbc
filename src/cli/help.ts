import type { Argument, Arguments } from "./arguments";
import type { Command, CommandGroup } from "./command";

function aliases(argument: Argument): string[] {
  const alias = "alias" in argument ? argument.alias : undefined;
  return alias === undefined ? [] : Array.isArray(alias) ? alias : [alias];
}

function flagWords(name: string, argument: Argument): string {
  const short = aliases(argument).map((alias) => (alias.length === 1 ? `-${alias}, ` : `--${alias}, `));
  const hint =
    argument.type === "boolean"
      ? ""
      : ` ${argument.valueHint ?? (argument.type === "enum" ? argument.options?.join("|") : undefined) ?? "VALUE"}`;
  return `  ${short.join("")}--${name}${hint}${argument.multiple ? " ..." : ""}`;
}

/** Two columns, the left one as wide as its longest cell. */
function columns(rows: [string, string][]): string {
  const width = Math.min(34, Math.max(0, ...rows.map(([left]) => left.length))) + 2;
  return rows
    .map(([left, right]) =>
      left.length + 2 > width ? `${left}\n${" ".repeat(width)}${right}\n` : `${left.padEnd(width)}${right}\n`,
    )
    .join("");
}

function flagTable(args: Arguments): string {
  return columns(
    Object.entries(args)
      .filter(([, argument]) => argument.type !== "positional")
      .map(([name, argument]) => [
        flagWords(name, argument),
        `${argument.description ?? ""}${typeof argument.default === "string" ? ` (default ${argument.default})` : ""}`,
      ]),
  );
}

/** The usage line of one command: `path` is its name with the group's before it. */
export function commandUsage(path: string, command: Command): string {
  const operands = Object.entries(command.args)
    .filter(([, argument]) => argument.type === "positional")
    .map(([name, argument]) => (argument.required ? name.toUpperCase() : `[${name.toUpperCase()}]`));
  const flags = flagTable(command.args) === "" ? [] : ["[FLAGS]"];
  const words = [path, ...flags, ...operands, command.rest ?? ""];
  return `usage: hako ${words.filter(Boolean).join(" ")}`;
}

/** The usage text of one command. */
export function commandHelp(path: string, command: Command): string {
  const flags = flagTable(command.args);
  const examples = command.examples.map((example) => `  ${example}\n`).join("");
  return `${command.meta.description}\n\n${commandUsage(path, command)}\n${
    flags === "" ? "" : `\nflags:\n${flags}`
  }\nexamples:\n${examples}`;
}

export function groupHelp(group: CommandGroup): string {
  const rows = Object.values(group.commands).map((command): [string, string] => [
    `  ${command.meta.name}`,
    command.meta.description,
  ]);
  return `${group.meta.description}\n\nusage: hako ${group.meta.name} COMMAND ...\n\ncommands:\n${columns(rows)}`;
}

export function programHelp(globals: Arguments, commands: Record<string, string>): string {
  const rows = Object.entries(commands).map(([name, text]): [string, string] => [`  ${name}`, text]);
  return `hako runs OCI containers, grouped in sandboxes\n\nusage: hako [GLOBAL FLAGS] COMMAND [FLAGS] [OPERANDS]\n\nglobal flags:\n${flagTable(globals)}\ncommands:\n${columns(rows)}\n"hako COMMAND --help" shows a command's flags and examples.\n`;
}
