import { type CommandDef, type CommandMeta, defineCommand as defineCittyCommand } from "citty";
import type { Arguments, Values } from "./arguments";
import type { Globals } from "./global-flags";

/** What a command runs with, by citty's names. */
export interface CommandContext<A extends Arguments = Arguments> {
  args: Values<A>;
  /** The words behind the command's name, as they were given. */
  rawArgs: readonly string[];
  /** What follows the declared operands. */
  rest: string[];
  /** See `Parsed`. */
  separated: boolean;
  data: {
    globals: Globals;
    /** hako itself, with all its commands: for those that tell of them. */
    program: Command;
  };
}

/**
 * A command as citty describes one, or with `subCommands` a group of them. Its table also makes its `--help`. From `examples` on
 * follows what citty has no word for, beside the fields of `Argument`: docs/decisions/command-line-parser.md.
 */
export interface Command<A extends Arguments = Arguments> {
  /** The description may be left out where the list of all commands says all there is to say. */
  meta?: CommandMeta;
  args?: A;
  subCommands?: SubCommands;
  /** Returns the exit status; nothing is 0. */
  run?(context: CommandContext<A>): number | undefined | Promise<number | undefined>;
  /** One or more command lines that work as they stand. */
  examples?: readonly string[];
  /** What follows the declared operands, shown in the usage line: "COMMAND [ARG...]". */
  rest?: string;
  /** Flags end at the first operand, or do if the flag of this name was given; what follows belongs to the container's command. */
  stopAtOperand?: boolean | string;
  /** The exit status of its failures other than wrong usage, where callers expect one. */
  failure?: number;
}

/** A command whose module is loaded when it is called; what lists and searches need of it is known before. */
export interface LazyCommand {
  (): Promise<Command>;
  meta?: CommandMeta;
}

export type SubCommands = Readonly<Record<string, Command | LazyCommand>>;

/** citty's, which types a command by its own table of arguments. */
export function defineCommand<const A extends Arguments>(command: Command<A>): Command {
  return defineCittyCommand(command as unknown as CommandDef) as unknown as Command;
}

/** What is imported costs start-up time, so the list of all commands has these. A description in the module is a longer one. */
export function lazy(load: () => Promise<{ default: Command }>, meta: CommandMeta): LazyCommand {
  const loaded: LazyCommand = async () => {
    const command = (await load()).default;
    return { ...command, meta: { ...meta, ...command.meta } };
  };
  loaded.meta = meta;
  return loaded;
}
