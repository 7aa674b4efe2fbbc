import { textOf } from "./bytes";
import { readBytes } from "./file";

/**
 * The caller's environment. `process.env` is Bun's: there variables that decide what Bun does are hidden, and it replaces bytes
 * that are no text. The kernel keeps what this process was executed with.
 */
let lines: readonly string[] | undefined;

/** Begins names of variables with which hako starts itself again: they are nobody else's. */
const OWN = "HAKO_AGAIN_";
let own: readonly string[] = [];

/** Lines "NAME=value", as they are. */
export function callerEnvironment(): readonly string[] {
  if (lines !== undefined) return lines;
  const all = readStrings("environ");
  own = all.filter((line) => line.startsWith(OWN));
  lines = own.length === 0 ? all : all.filter((line) => !line.startsWith(OWN));
  return lines;
}

/** What an attendant that gives way says in the last such line of this name: none of the caller's, should there be one. */
export function ownVariable(name: `${typeof OWN}${string}`): string | undefined {
  callerEnvironment();
  return own.findLast((line) => line.startsWith(`${name}=`))?.slice(name.length + 1);
}

/** The same for programs that Bun starts. */
export function callerVariables(): Record<string, string> {
  const pairs = callerEnvironment().map((line) => {
    const equals = line.indexOf("=");
    return equals < 0 ? [line, ""] : [line.slice(0, equals), line.slice(equals + 1)];
  });
  return Object.fromEntries(pairs) as Record<string, string>;
}

/** The value of a variable, as getenv(3) finds it. */
export function callerVariable(name: string): string | undefined {
  const start = `${name}=`;
  return callerEnvironment()
    .find((line) => line.startsWith(start))
    ?.slice(start.length);
}

/** The words of the command line, without the program's own name; `given` is what Bun makes of them. */
export function callerArguments(given: readonly string[]): readonly string[] {
  // U+FFFD stands for bytes that are no text, or for itself
  if (!given.some((word) => word.includes("\ufffd"))) return given;
  return readStrings("cmdline").slice(-given.length);
}

/** What procfs has of this process's own. */
function readStrings(file: "cmdline" | "environ"): string[] {
  return ownStrings(file).map((bytes) => textOf(bytes.subarray(0, -1)));
}

/** The same as the bytes that they are, each with its NUL. */
export function ownStrings(file: "cmdline" | "environ"): Uint8Array[] {
  const bytes = readBytes(`/proc/self/${file}`);
  const strings: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0, at);
    if (end < 0) break;
    strings.push(bytes.subarray(at, end + 1));
    at = end + 1;
  }
  return strings;
}
