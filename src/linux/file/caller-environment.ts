import { textOf } from "../call/bytes";
import { readBytes } from "./file";

/**
 * The caller's environment. `process.env` is Bun's: there variables that decide what Bun does are hidden, and it replaces bytes
 * that are no text. The kernel keeps what this process was executed with.
 */
let text: string | undefined;

/** How names of variables begin with which hako starts itself again; programs of the caller's don't get them. */
const OWN = "HAKO_AGAIN_";
let own: readonly string[] = [];

/** All of the caller's: lines "NAME=value", each with a NUL before and after it. */
function environmentText(): string {
  if (text !== undefined) return text;
  const all = `\0${textOf(ownBytes("environ"))}`;
  text = all.slice(0, all.lastIndexOf("\0") + 1);
  if (text.includes(`\0${OWN}`)) {
    const lines = text.split("\0");
    own = lines.filter((line) => line.startsWith(OWN));
    text = lines.filter((line) => !line.startsWith(OWN)).join("\0");
  }
  return text;
}

/** Lines "NAME=value", as they are. */
export function callerEnvironment(): readonly string[] {
  return environmentText().split("\0").slice(1, -1);
}

/**
 * The value of a variable of hako's own, which an attendant has put behind the caller's: the last line of this name, for the
 * caller may have one too.
 */
export function ownVariable(name: `${typeof OWN}${string}`): string | undefined {
  environmentText();
  return own.findLast((line) => line.startsWith(`${name}=`))?.slice(name.length + 1);
}

/** The caller's environment as an object, for programs that Bun starts. */
export function callerVariables(): Record<string, string> {
  const pairs = callerEnvironment().map((line) => {
    const equals = line.indexOf("=");
    return equals < 0 ? [line, ""] : [line.slice(0, equals), line.slice(equals + 1)];
  });
  return Object.fromEntries(pairs) as Record<string, string>;
}

/** The value of a variable, as getenv(3) finds it: most ask for what is not there, and no list is made of it for them. */
export function callerVariable(name: string): string | undefined {
  const all = environmentText();
  const line = `\0${name}=`;
  const found = all.indexOf(line);
  return found < 0 ? undefined : all.slice(found + line.length, all.indexOf("\0", found + 1));
}

/** The words of the command line, without the program's own name; `given` is what Bun makes of them. */
export function callerArguments(given: readonly string[]): readonly string[] {
  // U+FFFD stands for bytes that are no text, or for itself
  if (!given.some((word) => word.includes("\ufffd"))) return given;
  return textOf(ownBytes("cmdline")).split("\0").slice(0, -1).slice(-given.length);
}

/**
 * Read once: later this process may make itself undumpable, and an ordinary user's process that has may not read these files of
 * its own (proc_pid_environ(5)).
 */
const read: { cmdline?: Uint8Array; environ?: Uint8Array } = {};

/** What procfs has of this process's own. */
function ownBytes(file: "cmdline" | "environ"): Uint8Array {
  read[file] ??= readBytes(`/proc/self/${file}`);
  return read[file];
}

/** The strings of this process's command line, or environment, as the bytes that they are, and where each begins. */
export function ownStrings(file: "cmdline" | "environ"): { bytes: Uint8Array; starts: number[] } {
  const all = ownBytes(file);
  const bytes = all.subarray(0, all.lastIndexOf(0) + 1);
  const starts: number[] = [];
  for (let at = 0; at < bytes.length; at = bytes.indexOf(0, at) + 1) starts.push(at);
  return { bytes, starts };
}
