import type { CommandMeta } from "citty";
import type { CgroupManager } from "../oci/cgroup-managers";
import type { Arguments, Values } from "./arguments";

/** The global flags, read before the command's name. */
export interface Globals {
  root: string;
  log: string | undefined;
  "log-format": string;
  debug: boolean;
  cgroupManager: CgroupManager;
  rootless: boolean | "auto";
  criu: string;
}

export interface Invocation<A extends Arguments = Arguments> {
  values: Values<A>;
  rest: string[];
  /** See `Parsed`. */
  separated: boolean;
  globals: Globals;
}

/** A command of the command line, or a group of commands. Its table also makes its `--help`. */
export interface Command<A extends Arguments = Arguments> {
  meta: CommandMeta & { name: string; description: string };
  args: A;
  /** One or more command lines that work as they stand. */
  examples: string[];
  /** What follows the declared operands, shown in the usage line: "COMMAND [ARG...]". */
  rest?: string;
  /** Flags end at the first operand, or do if the flag of this name was given; what follows belongs to the container's command. */
  stopAtOperand?: boolean | string;
  /** The exit status of its failures other than wrong usage, where callers expect one. */
  failure?: number;
  /** Returns the exit status; nothing is 0. */
  run(invocation: Invocation<A>): number | undefined | Promise<number | undefined>;
}

export interface CommandGroup {
  meta: CommandMeta & { name: string; description: string };
  commands: Record<string, Command>;
}

/** Types a command by its own table. */
export function defineCommand<const A extends Arguments>(command: Command<A>): Command {
  return command as unknown as Command;
}
