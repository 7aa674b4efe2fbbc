import { parseBoolean } from "../base/boolean";
import { asHakoError, HakoError } from "../base/errors";
import { COMMANDS } from "../commands";
import { callerVariable } from "../linux/file/caller-environment";
import { CGROUP_MANAGERS, type CgroupManager } from "../oci/cgroup-managers";
import { configureLog, logFailure, toStandardError } from "../output/log";
import { defaultRoot } from "../state/user-root";
import { type Arguments, parseArguments, type Values } from "./arguments";
import type { Command, CommandGroup, Globals } from "./command";
import { commandHint, commandName } from "./hints";

/** The flags before the command's name. */
export const GLOBAL_FLAGS = {
  root: {
    type: "string",
    valueHint: "DIR",
    description: "where state is kept (default /run/hako; for ordinary users $XDG_RUNTIME_DIR/hako)",
  },
  log: {
    type: "string",
    valueHint: "FILE",
    description: "append the error of a failed command to this file too; file:FILE as with crun",
  },
  "log-format": {
    type: "enum",
    options: ["text", "json"],
    description: "form of the log's lines",
    default: "text",
  },
  debug: { type: "boolean", description: "log each step" },
  "log-level": {
    type: "enum",
    options: ["error", "warning", "debug"],
    description: "as with crun: error leaves warnings out, debug is --debug",
  },
  "systemd-cgroup": {
    type: "boolean",
    description: "let systemd make the cgroups, as a scope: linux.cgroupsPath is then slice:prefix:name",
  },
  "cgroup-manager": {
    type: "enum",
    options: [...CGROUP_MANAGERS],
    valueHint: CGROUP_MANAGERS.join("|"),
    description:
      "who makes the cgroups: systemd is --systemd-cgroup; with disabled a container has none of its own",
  },
  rootless: {
    type: "string",
    valueHint: "auto|true|false",
    description: "containers of an ordinary user: false refuses to make them; auto and true make them",
    default: "auto",
  },
  criu: {
    type: "string",
    valueHint: "PROGRAM",
    description: "what checkpoint and restore call",
    default: "criu",
  },
  version: { type: "boolean", alias: "v", description: "print the version" },
  help: { type: "boolean", alias: "h", description: "print this text" },
} as const satisfies Arguments;

/** Of the command that runs. */
let failureStatus: number | undefined;
/** Where it keeps state. */
let stateRoot: string | undefined;

/** Exit statuses of failures, as shells have them, unless the command has one of its own. */
function exitStatus(error: HakoError): number {
  if (error.code === "usage") return 2;
  if (failureStatus !== undefined) return failureStatus;
  if (error.code === "command-not-found") return 127;
  if (error.code === "command-not-executable") return 126;
  return 1;
}

/** In the words of Go's booleans too, as runc takes them. */
function rootlessOf(text: string): Globals["rootless"] {
  const truth = text === "auto" ? text : parseBoolean(text);
  if (truth !== undefined) return truth;
  throw new HakoError({ code: "usage", message: `--rootless: "${text}" is not auto, true or false` });
}

function managerOf(values: Values<typeof GLOBAL_FLAGS>): CgroupManager {
  const manager = CGROUP_MANAGERS.find((each) => each === values["cgroup-manager"]);
  if (!values["systemd-cgroup"]) return manager ?? "cgroupfs";
  if (manager === undefined || manager === "systemd") return "systemd";
  throw new HakoError({
    code: "usage",
    message: `--systemd-cgroup and --cgroup-manager=${manager} contradict each other`,
  });
}

function isGroup(found: Command | CommandGroup): found is CommandGroup {
  return "commands" in found;
}

/** Picks the command of a group; a group without a command, or `--help`, prints the group's help. */
async function pick(
  name: string,
  found: Command | CommandGroup,
  words: string[],
): Promise<{ path: string; command: Command; words: string[] } | undefined> {
  if (!isGroup(found)) return { path: name, command: found, words };
  const [inner, ...rest] = words;
  if (inner === undefined || inner === "--help" || inner === "-h") {
    const { groupHelp } = await import("./help");
    if (inner === undefined) {
      const hint = Object.keys(found.commands).join(", ");
      throw new HakoError({ code: "usage", message: `${name}: which command?`, hint });
    }
    (await import("../output/print")).print(groupHelp(found));
    return undefined;
  }
  const command = Object.hasOwn(found.commands, inner) ? found.commands[inner] : undefined;
  if (command === undefined)
    throw new HakoError({
      code: "usage",
      message: `unknown command "${name} ${inner}"`,
      hint: Object.keys(found.commands).join(", "),
    });
  return { path: `${name} ${inner}`, command, words: rest };
}

/** Wrong usage without a hint of its own gets the command's usage line. */
async function parseCommand(path: string, command: Command, words: string[]) {
  try {
    return parseArguments(words, command.args, {
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
    throw new HakoError({ code: error.code, message: error.message, hint });
  }
}

async function dispatch(raw: string[]): Promise<number> {
  const { values, rest } = parseArguments(raw, GLOBAL_FLAGS, { stopAtOperand: true, rest: true });
  const globals: Globals = {
    ...values,
    root: values.root ?? defaultRoot(),
    log: values.log?.replace(/^file:/, ""),
    debug: values.debug || values["log-level"] === "debug",
    cgroupManager: managerOf(values),
    rootless: rootlessOf(values.rootless),
  };
  if (values.version || (rest[0] === "version" && rest.length === 1)) {
    const { versionText } = await import("../base/version");
    (await import("../output/print")).print(versionText());
    return 0;
  }
  const [given, ...words] = rest[0] === "help" && rest.length > 1 ? [...rest.slice(1), "--help"] : rest;
  const name = given === undefined ? undefined : commandName(given);
  if (values.help || name === undefined || name === "help") {
    const { programHelp } = await import("./help");
    const texts = Object.fromEntries(
      Object.entries(COMMANDS).map(([key, entry]) => [key, entry.description]),
    );
    const text = programHelp(GLOBAL_FLAGS, texts);
    if (values.help || name !== undefined) (await import("../output/print")).print(text);
    else toStandardError(text);
    return name === undefined && !values.help ? 2 : 0;
  }
  configureLog({
    file: globals.log,
    json: globals["log-format"] === "json",
    debug: globals.debug,
    warnings: values["log-level"] !== "error",
  });
  const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (entry === undefined)
    throw new HakoError({
      code: "usage",
      message: `unknown command "${name}"`,
      hint: commandHint(name, Object.keys(COMMANDS)),
    });
  const picked = await pick(name, (await entry.load()).default, words);
  if (picked === undefined) return 0;
  const { command } = picked;
  const parsed = await parseCommand(picked.path, command, picked.words);
  if (parsed.help) {
    const { commandHelp } = await import("./help");
    (await import("../output/print")).print(commandHelp(picked.path, command));
    return 0;
  }
  failureStatus = command.failure;
  stateRoot = globals.root;
  const { values: ofCommand, rest: more, separated } = parsed;
  return (await command.run({ values: ofCommand, rest: more, separated, globals })) ?? 0;
}

/** An error with what is only worth finding out when there is one. */
async function explained(error: HakoError): Promise<HakoError> {
  if (stateRoot === undefined || error.code !== "system") return error;
  const { explainStateDirectory } = await import("../explain/state-directory");
  const { explainRights } = await import("../explain/rights");
  return explainRights(explainStateDirectory(stateRoot, error));
}

/** Runs a command line; returns the exit status. Failures are logged, once, in one line. */
export async function runCommandLine(raw: string[]): Promise<number> {
  try {
    return await dispatch(raw);
  } catch (thrown) {
    const error = await explained(asHakoError(thrown));
    logFailure(error.oneLine);
    if (callerVariable("HAKO_STACK") !== undefined && thrown instanceof Error)
      process.stderr.write(`${thrown.stack}\n`);
    return exitStatus(error);
  }
}
