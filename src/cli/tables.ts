import { COMMANDS } from "../commands";
import type { Argument } from "./arguments";
import type { Command, CommandGroup } from "./command";

/** One command as completion scripts and the manual see it: "kill", or "cgroup show" in a group. */
export interface NamedCommand {
  path: string;
  command: Command;
}

function isGroup(found: Command | CommandGroup): found is CommandGroup {
  return "commands" in found;
}

/** All commands with those of groups, in the order of `--help`. */
export async function allCommands(): Promise<{ groups: CommandGroup[]; commands: NamedCommand[] }> {
  const groups: CommandGroup[] = [];
  const commands: NamedCommand[] = [];
  for (const [name, entry] of Object.entries(COMMANDS)) {
    const found = (await entry.load()).default;
    if (!isGroup(found)) commands.push({ path: name, command: found });
    else {
      groups.push(found);
      for (const [inner, command] of Object.entries(found.commands))
        commands.push({ path: `${name} ${inner}`, command });
    }
  }
  return { groups, commands };
}

/** "-b" and "--bundle" of a flag; nothing for an operand. */
export function spellings(name: string, argument: Argument): string[] {
  if (argument.type === "positional") return [];
  const alias = "alias" in argument ? argument.alias : undefined;
  const others = alias === undefined ? [] : Array.isArray(alias) ? alias : [alias];
  return [...others.map((each) => (each.length === 1 ? `-${each}` : `--${each}`)), `--${name}`];
}
