import type { ConsolaInstance } from "consola/core";
import type { ErrorCode } from "../base/errors";
import { openToAppend } from "../linux/file/file";
import type { LogTarget } from "./reporters";

/** Loaded on first use: most commands write no line. */
const rare = {
  get reporters() {
    return require("./reporters") as typeof import("./reporters");
  },
};

/** Whatever the umask: only its owner writes to it. */
const LOG_MODE = 0o644;

let target: LogTarget = { file: undefined, json: false, verbosity: "warning" };
/** Made for the first line. */
let consola: ConsolaInstance | undefined;

/** Sets where lines go, and which; a log file is opened here. */
export function configureLog({ file, json, verbosity }: Omit<LogTarget, "file"> & { file?: string }): void {
  consola = undefined;
  // what can't be opened is told on standard error
  target = { file: undefined, json, verbosity };
  if (!file) return;
  target.file = openToAppend(file, LOG_MODE);
  // podman decodes the whole file as one object, which must be the error's
  if (json && verbosity === "warning") target.verbosity = "error";
}

function hub(): ConsolaInstance {
  consola ??= rare.reporters.consolaFor(target);
  return consola;
}

/** The one line of a failed command, or of a limit that was reached: into the log file if there is one, and on standard error for people. JSON has its code, too. */
export function logFailure(message: string, code?: ErrorCode): void {
  hub().error(message, code);
}

/** Who hears warnings in place of people. */
let hearer: ((message: string) => void) | undefined;

/** Has somebody hear the warnings of an action who can tell people of them. */
export function hearingWarnings<T>(hear: (message: string) => void, action: () => T): T {
  hearer = hear;
  try {
    return action();
  } finally {
    hearer = undefined;
  }
}

/** What people should know although the command goes on. */
export function logWarning(message: string): void {
  if (hearer !== undefined) hearer(message);
  else if (target.verbosity !== "error") hub().warn(message);
}

export function logDebug(message: string): void {
  if (isDebugging()) hub().debug(message);
}

/** Whether anybody reads what `logDebug` writes. */
export function isDebugging(): boolean {
  return target.verbosity === "debug";
}
