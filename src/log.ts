import { asHakoError } from "./errors";
import { bytesOf } from "./linux/bytes";
import { callerVariable } from "./linux/environment";
import type { Fd } from "./linux/fd";
import { openToAppend, writeAllTo } from "./linux/file";

type Level = "debug" | "warning" | "error";

interface LogOptions {
  file: string | undefined;
  json: boolean;
  debug: boolean;
  warnings: boolean;
}

/** Whatever the umask: only its owner writes to it. */
const LOG_MODE = 0o644;

let target: Omit<LogOptions, "file"> & { file: Fd | undefined } = {
  file: undefined,
  json: false,
  debug: false,
  warnings: true,
};
let complained = false;

/** Sets where lines go: the `--log` file, which is opened here, or standard error. */
export function configureLog({ file, ...rest }: LogOptions): void {
  // what can't be opened is told on standard error
  target = { file: undefined, ...rest };
  if (file) target = { file: openToAppend(file, LOG_MODE), ...rest };
}

function logLine(level: Level, message: string): string {
  const time = new Date().toISOString();
  return target.json
    ? `${JSON.stringify({ level, msg: message, time })}\n`
    : `time="${time}" level=${level} msg=${JSON.stringify(message)}\n`;
}

/** One write to standard error; a reader that has gone away is not our failure. */
export function toStandardError(text: string): void {
  try {
    writeAllTo(2, bytesOf(text), "standard error");
  } catch {
    // podman closes its end of a command's standard error before the command has ended
  }
}

/** Whatever is logged, it is not what the command is for: a full disk is told, once, and the command goes on. */
function toFile(file: Fd, line: string): void {
  try {
    writeAllTo(file.number, bytesOf(line), `log ${file.name}`);
  } catch (error) {
    if (!complained) toStandardError(`hako: ${asHakoError(error).oneLine}\n`);
    complained = true;
  }
}

/** The one line of a failed command: into the log file if there is one, and on standard error for people. */
export function logFailure(message: string): void {
  if (target.file !== undefined) {
    toFile(target.file, logLine("error", message));
    toStandardError(`hako: ${message}\n`);
  } else toStandardError(target.json ? logLine("error", message) : `hako: ${message}\n`);
}

/**
 * What people should know although the command goes on. Never into a JSON log: podman decodes the whole file as one
 * object, which must be the error's.
 */
export function logWarning(message: string): void {
  if (!target.warnings || (target.file !== undefined && target.json && !target.debug)) return;
  write("warning", message);
}

export function logDebug(message: string): void {
  if (target.debug) write("debug", message);
}

function write(level: Level, message: string): void {
  if (target.file !== undefined) toFile(target.file, logLine(level, message));
  else if (target.json) toStandardError(logLine(level, message));
  else {
    // consola is for people and costs milliseconds: it is loaded when there is something to say
    showTerminal();
    const { createConsola } = require("consola") as typeof import("consola");
    // blank lines and colours are for terminals
    const fancy = process.stderr.isTTY === true;
    const options = { level: 5, fancy, stdout: process.stderr, stderr: process.stderr };
    const consola = createConsola(options);
    if (level === "debug") consola.debug(message);
    else consola.warn(message);
  }
}

/** What libraries ask process.env for to know whether to use colours; Bun itself must not see more (scripts/clean-start.ts). */
function showTerminal(): void {
  for (const name of ["TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "CI"]) {
    const value = callerVariable(name);
    // biome-ignore lint/style/noProcessEnv: theirs
    if (value !== undefined) process.env[name] = value;
  }
}

/** Whether anybody reads what `logDebug` writes. */
export function isDebugging(): boolean {
  return target.debug;
}
