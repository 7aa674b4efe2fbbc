import {
  type ConsolaInstance,
  type ConsolaReporter,
  createConsola,
  LogLevels,
  type LogObject,
} from "consola/core";
import { asHakoError } from "../base/errors";
import { printableLine } from "../base/printable";
import { actHere } from "../linux/call/actor";
import { bytesOf } from "../linux/call/bytes";
import type { Fd } from "../linux/call/fd";
import { writeAllTo } from "../linux/file/file";
import { toStandardError } from "./standard-error";

/** What is told: failures alone, warnings too, or each step too. */
export type Verbosity = "error" | "warning" | "debug";

export interface LogTarget {
  /** The `--log` file; standard error if there is none. */
  file: Fd | undefined;
  json: boolean;
  verbosity: Verbosity;
}

const LEVELS: Readonly<Record<Verbosity, number>> = {
  error: LogLevels.error,
  warning: LogLevels.warn,
  debug: LogLevels.debug,
};

/** The level of a line, as runc's logs have it. */
function levelOf({ type }: LogObject): Verbosity {
  return type === "warn" ? "warning" : type === "debug" ? "debug" : "error";
}

/** A line for people. */
function line(entry: LogObject): string {
  const level = levelOf(entry);
  // an error's line is printable
  return level === "error"
    ? `hako: ${entry.args[0]}\n`
    : `hako: ${level}: ${printableLine(String(entry.args[0]))}\n`;
}

/** A line for programs, in runc's two forms (logrus). */
function record(entry: LogObject, json: boolean): string {
  const [msg, code] = entry.args;
  const level = levelOf(entry);
  const time = entry.date.toISOString();
  return json
    ? `${JSON.stringify({ level, msg, code, time })}\n`
    : `time="${time}" level=${level} msg=${JSON.stringify(msg)}\n`;
}

/** A log is not what a command is for: a full disk is told once, and the command goes on. */
function fileReporter(file: Fd, json: boolean): ConsolaReporter {
  let complained = false;
  return {
    log(entry) {
      try {
        actHere(() => writeAllTo(file.number, bytesOf(record(entry, json)), `log ${file.name}`));
      } catch (error) {
        if (!complained) toStandardError(`hako: ${asHakoError(error).oneLine}\n`);
        complained = true;
      }
      // people are told of a failure wherever their log is
      if (entry.type === "error") toStandardError(line(entry));
    },
  };
}

function standardErrorReporter(json: boolean): ConsolaReporter {
  return { log: (entry) => toStandardError(json ? record(entry, true) : line(entry)) };
}

/** The hub of all that is told beside a command's output. Its throttle is off: a line is told though it was told before. */
export function consolaFor({ file, json, verbosity }: LogTarget): ConsolaInstance {
  const reporter = file === undefined ? standardErrorReporter(json) : fileReporter(file, json);
  return createConsola({ level: LEVELS[verbosity], throttle: 0, reporters: [reporter] });
}
