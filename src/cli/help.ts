import { terminalWidth, USUAL_WIDTH, wrapped } from "../output/table";
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

/** The widest left column, with the space behind it. */
const LEFT = 36;

/** Two columns in lines of `width`: the left one as wide as its longest cell, the right one broken between words. */
function columns(rows: readonly [string, string][], width: number): string {
  const longest = Math.max(0, ...rows.map(([left]) => left.length)) + 2;
  const indent = Math.min(LEFT, longest, Math.floor(width / 2));
  return rows
    .map(([left, right]) => {
      const lines = wrapped(right, width - indent);
      const beside = left.length + 2 <= indent ? lines.shift() : undefined;
      const first = beside === undefined ? left : `${left.padEnd(indent)}${beside}`;
      return [first, ...lines.map((line) => " ".repeat(indent) + line)].map((line) => `${line}\n`).join("");
    })
    .join("");
}

function paragraph(text: string, width: number): string {
  return wrapped(text, width).join("\n");
}

/** The condition that a flag's description begins with: "with --rootfs". */
const CONDITION = /^(with --[a-z-]+): /;

/** Tables of flags, each below its heading. Flags that have a condition in common stand together, below that. */
function flagTables(heading: string, args: Arguments, width: number): string {
  const flags = Object.entries(args).filter(([, argument]) => argument.type !== "positional");
  const conditionOf = ({ description = "" }: Argument) => CONDITION.exec(description)?.[1] ?? "";
  const tables = new Map<string, [string, string][]>();
  for (const [name, argument] of flags) {
    const { description = "", default: value } = argument;
    const condition = conditionOf(argument);
    const shared = flags.filter(([, other]) => conditionOf(other) === condition).length > 1 ? condition : "";
    const text = shared === "" ? description : description.replace(CONDITION, "");
    const rows = tables.get(shared) ?? [];
    rows.push([flagLine(name, argument), `${text}${typeof value === "string" ? ` (default ${value})` : ""}`]);
    tables.set(shared, rows);
  }
  return [...tables]
    .map(([condition, rows]) => `${[heading, condition].filter(Boolean).join(" ")}:\n${columns(rows, width)}`)
    .join("\n");
}

/** The usage line of one command: `path` is its name with the group's before it. */
export function commandUsage(path: string, command: Command): string {
  const flags = Object.values(command.args ?? {}).some(({ type }) => type !== "positional")
    ? ["[FLAGS]"]
    : [];
  return `usage: ${["hako", path, ...flags, ...operandWords(command)].join(" ")}`;
}

/** The usage text of one command, for lines of `width`. What is there to be copied, examples, is not broken. */
export function commandHelp(path: string, command: Command, width: number): string {
  const flags = flagTables("flags", command.args ?? {}, width);
  const examples = (command.examples ?? []).map((example) => `  ${example}\n`).join("");
  return `${paragraph(descriptionOf(command), width)}\n\n${paragraph(commandUsage(path, command), width)}\n${
    flags === "" ? "" : `\n${flags}`
  }\nexamples:\n${examples}`;
}

/** A table of the commands of a group. */
function commandTable(group: Command, width: number): string {
  const rows = shownCommands(group).map(([name, command]): [string, string] => [
    `  ${name}`,
    descriptionOf(command),
  ]);
  return columns(rows, width);
}

export function groupHelp(path: string, group: Command, width: number): string {
  const { usual } = group;
  const command = usual === undefined ? "COMMAND" : "[COMMAND]";
  const meant = usual === undefined ? "" : `\n"hako ${path} ..." is "hako ${path} ${usual} ...".\n`;
  return `${paragraph(descriptionOf(group), width)}\n\nusage: hako ${path} ${command} ...\n\ncommands:\n${commandTable(group, width)}${meant}`;
}

export function programHelp(program: Command, width: number): string {
  const usage = "usage: hako [GLOBAL FLAGS] COMMAND [FLAGS] [OPERANDS]";
  const end = '"hako COMMAND --help" shows a command\'s flags and examples.';
  return `${paragraph(descriptionOf(program), width)}\n\n${paragraph(usage, width)}\n\n${flagTables("global flags", program.args ?? {}, width)}\ncommands:\n${commandTable(program, width)}\n${paragraph(end, width)}\n`;
}

/** How wide help is that is written to a descriptor: as its terminal, or as a usual one. */
export function helpWidth(fd: number): number {
  return terminalWidth(fd) ?? USUAL_WIDTH;
}
