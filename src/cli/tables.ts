import type { Argument } from "./arguments";
import type { Command, LazyCommand } from "./command";
import { aliasesOf, loadedCommand, type NamedCommand } from "./find-command";

/** The commands that lists show, by their names. */
export function shownCommands({ subCommands = {} }: Command): [name: string, Command | LazyCommand][] {
  return Object.entries(subCommands).filter(([, { meta }]) => meta?.hidden !== true);
}

/** What a command is for. */
export function descriptionOf({ meta }: Command | LazyCommand): string {
  return meta?.description ?? "";
}

/** All commands with those of groups, and the groups, in the order of `--help`; also those that no list shows. */
export async function allCommands(
  program: Command,
): Promise<{ groups: NamedCommand[]; commands: NamedCommand[] }> {
  const groups: NamedCommand[] = [];
  const commands: NamedCommand[] = [];
  for (const [name, entry] of Object.entries(program.subCommands ?? {})) {
    const command = await loadedCommand(entry);
    if (command.subCommands === undefined) commands.push({ path: name, command });
    else {
      groups.push({ path: name, command });
      for (const [inner, one] of Object.entries(command.subCommands))
        commands.push({ path: `${name} ${inner}`, command: await loadedCommand(one) });
    }
  }
  return { groups, commands };
}

/** "-b" and "--bundle" of a flag; nothing for an operand. */
export function spellings(name: string, argument: Argument): string[] {
  if (argument.type === "positional") return [];
  return [...aliasesOf(argument as { alias?: string | string[] }), name].map((each) =>
    each.length === 1 ? `-${each}` : `--${each}`,
  );
}

/** What stands behind the flags of a usage line: "CONTAINER", "[SIGNAL]", "[COMMAND [ARG...]]". */
export function operandWords({ args = {}, rest }: Command): string[] {
  const operands = Object.entries(args)
    .filter(([, { type }]) => type === "positional")
    .map(([name, { required }]) => (required ? name.toUpperCase() : `[${name.toUpperCase()}]`));
  return rest === undefined ? operands : [...operands, rest];
}
