import { asHakoError, type ErrorCode, HakoError } from "../base/errors";
import { callerVariable } from "../linux/file/caller-environment";
import { configureLog, logFailure } from "../output/log";
import { toStandardError } from "../output/standard-error";
import { parseArguments } from "./arguments";
import type { Command } from "./command";
import { findCommand, type NamedCommand } from "./find-command";
import { GLOBAL_FLAGS, globalsOf } from "./global-flags";

/** The exit statuses that the command which runs has for failures. */
let failureStatus: ((code: ErrorCode) => number | undefined) | undefined;
/** The state directory of the command that runs. */
let stateRoot: string | undefined;

/** Exit statuses of failures, as shells have them, unless the command has one of its own. */
function exitStatus(error: HakoError): number {
  if (error.code === "usage") return 2;
  const own = failureStatus?.(error.code);
  if (own !== undefined) return own;
  if (error.code === "command-not-found") return 127;
  if (error.code === "command-not-executable") return 126;
  return 1;
}

/** Wrong usage without a hint of its own gets the command's usage line. */
async function parseCommand({ path, command }: NamedCommand, words: readonly string[]) {
  try {
    return parseArguments(words, command.args ?? {}, {
      stopAtOperand: command.stopAtOperand ?? false,
      rest: command.rest !== undefined,
    });
  } catch (error) {
    if (!(error instanceof HakoError) || error.hint !== undefined) throw error;
    const { commandUsage } = await import("./help");
    const flag = /^unknown flag --?([a-z-]+)$/.exec(error.message)?.[1];
    const hint =
      flag === undefined
        ? commandUsage(path, command)
        : Object.hasOwn(GLOBAL_FLAGS, flag)
          ? `--${flag} goes before the command: hako --${flag} ... ${path}`
          : `hako ${path} --help lists the flags`;
    throw error.with({ hint });
  }
}

/** A flag that stands before the command but is the command's: the line goes on with that. */
async function parseGlobals(program: Command, raw: readonly string[]) {
  try {
    return parseArguments(raw, GLOBAL_FLAGS, { stopAtOperand: true, rest: true });
  } catch (error) {
    if (!(error instanceof HakoError)) throw error;
    const { misplacedFlagHint } = await import("./misplaced-flag");
    const hint = (await misplacedFlagHint(program, raw, error.message)) ?? error.hint;
    throw error.with({ hint: hint ?? "hako --help lists the flags that stand before a command" });
  }
}

async function printed(text: string): Promise<number> {
  (await import("../output/print")).print(text);
  return 0;
}

function thrownBy(action: () => void): unknown {
  try {
    action();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Prints a help text that fits where standard output leads. */
async function helped(text: (help: typeof import("./help"), width: number) => string): Promise<number> {
  const help = await import("./help");
  return printed(text(help, help.helpWidth(1)));
}

async function dispatch(program: Command, raw: readonly string[]): Promise<number> {
  const { values, rest } = await parseGlobals(program, raw);
  const globals = globalsOf(values);
  if (values.version || (rest[0] === "version" && rest.length === 1))
    return printed((await import("../base/hako-version")).versionText());
  const words = rest[0] === "help" && rest.length > 1 ? [...rest.slice(1), "--help"] : rest;
  if (values.help || words[0] === "help")
    return helped(({ programHelp }, width) => programHelp(program, width));
  if (words[0] === undefined) {
    const { helpWidth, programHelp } = await import("./help");
    toStandardError(programHelp(program, helpWidth(2)));
    return 2;
  }
  const unopened = thrownBy(() =>
    configureLog({
      file: globals.log,
      json: globals["log-format"] === "json",
      verbosity: globals.debug ? "debug" : values["log-level"] === "error" ? "error" : "warning",
    }),
  );
  const { words: rawArgs, ...found } = await findCommand(program, words);
  const { path, command } = found;
  if (command.subCommands !== undefined)
    return helped(({ groupHelp }, width) => groupHelp(path, command, width));
  const parsed = await parseCommand(found, rawArgs);
  if (parsed.help) return helped(({ commandHelp }, width) => commandHelp(path, command, width));
  const { values: args, rest: more, separated } = parsed;
  failureStatus = (code) => command.failure?.(code, args);
  stateRoot = globals.root;
  // only now it is known which exit status the command has for it
  if (unopened !== undefined) throw unopened;
  return (await command.run?.({ args, rawArgs, rest: more, separated, data: { globals, program } })) ?? 0;
}

/** Adds to an error what is looked up after a failure only. */
async function explained(error: HakoError): Promise<HakoError> {
  if (stateRoot === undefined || !(error.code === "system" || error.code.startsWith("command-")))
    return error;
  const { explainStateDirectory } = await import("../explain/state-directory");
  const { explainRights } = await import("../explain/rights");
  const { withOuterWords } = await import("../explain/outer-container");
  return withOuterWords(explainRights(explainStateDirectory(stateRoot, error)));
}

/** Runs a command line of a program; returns the exit status. Failures are logged, once, in one line. */
export async function runCommandLine(program: Command, raw: readonly string[]): Promise<number> {
  try {
    return await dispatch(program, raw);
  } catch (thrown) {
    const error = await explained(asHakoError(thrown));
    logFailure(error.oneLine, error.code);
    if (callerVariable("HAKO_STACK") !== undefined && thrown instanceof Error)
      toStandardError(`${thrown.stack}\n`);
    return exitStatus(error);
  }
}
