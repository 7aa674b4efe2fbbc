import { type CommandDef, type CommandMeta, defineCommand as defineCittyCommand } from "citty";
import type { ErrorCode } from "../base/errors";
import type { Arguments, ArgumentValues } from "./arguments";
import type { Globals } from "./global-flags";

/** What a command's `run` is called with; the names are citty's. */
export interface CommandContext<A extends Arguments = Arguments> {
  args: ArgumentValues<A>;
  /** The words behind the command's name, as they were given. */
  rawArgs: readonly string[];
  /** What follows the declared operands. */
  rest: string[];
  /** See `ParsedArguments`. */
  separated: boolean;
  data: {
    globals: Globals;
    /** hako itself, with all its commands: completion and man describe them. */
    program: Command;
  };
}

/**
 * A command as citty describes one, or with `subCommands` a group of them. Its table also makes its `--help`. From `examples` on
 * follows what citty has no word for, beside the fields of `Argument`: docs/decisions/command-line-parser.md.
 */
export interface Command<A extends Arguments = Arguments> {
  /** A module leaves the description out where that of the list of commands (src/commands/index.ts) says enough. */
  meta?: CommandMeta;
  args?: A;
  subCommands?: SubCommands;
  /** Of a group: which of its commands is meant where none is named. */
  usual?: string;
  /** Returns the exit status; nothing is 0. */
  run?(context: CommandContext<A>): number | undefined | Promise<number | undefined>;
  /** One or more command lines that work as they stand. */
  examples?: readonly string[];
  /** What follows the declared operands, shown in the usage line: "COMMAND [ARG...]". */
  rest?: string;
  /** true: flags end at the first operand. Flags' names: they do if one of these was given. What follows is the container's command. */
  stopAtOperand?: boolean | readonly string[];
  /** The exit status of a failure that is not wrong usage, where callers expect a certain one; undefined: as shells have it. */
  failure?(code: ErrorCode, args: ArgumentValues<A>): number | undefined;
}

/** A command whose module is loaded when the command is called. Its `meta` is known before: for lists, and to find it by an alias. */
export interface LazyCommand {
  (): Promise<Command>;
  meta?: CommandMeta;
}

export type SubCommands = Readonly<Record<string, Command | LazyCommand>>;

/** citty's defineCommand. The type of `args` in `run` follows from the command's own table. */
export function defineCommand<const A extends Arguments>(command: Command<A>): Command {
  return defineCittyCommand(command as unknown as CommandDef) as unknown as Command;
}

/**
 * A command for the list of all commands: to import every module would cost each start some milliseconds. A description in the
 * module is a longer one, for the command's own help.
 */
export function lazyCommand(load: () => Promise<{ default: Command }>, meta: CommandMeta): LazyCommand {
  const loaded: LazyCommand = async () => {
    const command = (await load()).default;
    return { ...command, meta: { ...meta, ...command.meta } };
  };
  loaded.meta = meta;
  return loaded;
}
