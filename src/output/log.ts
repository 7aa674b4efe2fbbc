import { asHakoError } from "../base/errors";
import { printableLine } from "../base/printable";
import { actHere } from "../linux/call/actor";
import { bytesOf } from "../linux/call/bytes";
import type { Fd } from "../linux/call/fd";
import { openToAppend, writeAllTo } from "../linux/file/file";

/** Loaded on first use. */
const rare = {
  get nodeFs() {
    return require("node:fs") as typeof import("node:fs");
  },
};

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
    actHere(() => writeAllTo(2, bytesOf(text), "standard error"));
  } catch (error) {
    // podman closes its end of a command's standard error before the command has ended
    if (asHakoError(error).errno === undefined) withoutLibc(text);
  }
}

/** For the one message that libc can't be called: bun:ffi writes nothing then. */
function withoutLibc(text: string): void {
  try {
    rare.nodeFs.writeSync(2, text);
  } catch {
    // as above
  }
}

/** Appends a line to the log file. A log is not what a command is for: a full disk is told once, and the command goes on. */
function toFile(file: Fd, line: string): void {
  try {
    actHere(() => writeAllTo(file.number, bytesOf(line), `log ${file.name}`));
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

/** Without a log file: a warning in hako's voice, for people; a step of `--debug` with its level and its time, as runc has it. */
function write(level: Level, message: string): void {
  if (target.file !== undefined) toFile(target.file, logLine(level, message));
  else if (level === "warning" && !target.json) toStandardError(`hako: warning: ${printableLine(message)}\n`);
  else toStandardError(logLine(level, message));
}

/** Whether anybody reads what `logDebug` writes. */
export function isDebugging(): boolean {
  return target.debug;
}
