import { appendText, writeAllTo } from "./linux/file";

type Level = "debug" | "warning" | "error";

interface LogTarget {
  file: string | undefined;
  json: boolean;
  debug: boolean;
}

/** Whatever the umask: only its owner writes to it. */
const LOG_MODE = 0o644;

let target: LogTarget = { file: undefined, json: false, debug: false };

/** Sets where lines go: the `--log` file, or standard error. */
export function configureLog(next: LogTarget): void {
  target = next;
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
    writeAllTo(2, Buffer.from(text), "standard error");
  } catch {
    // podman closes its end of a command's standard error before the command has ended
  }
}

/** The one line of a failed command: into the log file if there is one, and on standard error for people. */
export function logFailure(message: string): void {
  if (target.file !== undefined) {
    try {
      appendText(target.file, logLine("error", message), LOG_MODE);
    } catch (error) {
      toStandardError(`hako: cannot write the log ${target.file}: ${(error as Error).message}\n`);
    }
    toStandardError(`hako: ${message}\n`);
  } else toStandardError(target.json ? logLine("error", message) : `hako: ${message}\n`);
}

/**
 * What people should know although the command goes on. Never into a JSON log: podman decodes the whole file as one
 * object, which must be the error's.
 */
export function logWarning(message: string): void {
  if (target.file !== undefined && target.json && !target.debug) return;
  write("warning", message);
}

export function logDebug(message: string): void {
  if (target.debug) write("debug", message);
}

function write(level: Level, message: string): void {
  if (target.file !== undefined) appendText(target.file, logLine(level, message), LOG_MODE);
  else if (target.json) toStandardError(logLine(level, message));
  else {
    // consola is for people and costs milliseconds: it is loaded when there is something to say
    const { createConsola } = require("consola") as typeof import("consola");
    // blank lines and colours are for terminals
    const fancy = process.stderr.isTTY === true;
    const options = { level: 5, fancy, stdout: process.stderr, stderr: process.stderr };
    const consola = createConsola(options);
    if (level === "debug") consola.debug(message);
    else consola.warn(message);
  }
}

/** Whether anybody reads what `logDebug` writes. */
export function isDebugging(): boolean {
  return target.debug;
}
