import { asHakoError, HakoError } from "../errors";
import { errnoText } from "../linux/errno";
import { type Explanation, explainExecution, lookAtProgram } from "../linux/execution-error";
import { checkAccess, statusAt } from "../linux/file";
import type { Process } from "../oci/config";
import { homeOf } from "./identity";

const X_OK = 1;

/**
 * The environment of the container's program: config.json's, each name once with its last value, and HOME if it has
 * none, as runc does.
 */
export function environmentOf(process: Process): string[] {
  const byName = new Map<string, string>();
  (process.env ?? []).forEach((line, index) => {
    const equals = line.indexOf("=");
    if (equals < 1) {
      throw new HakoError({
        code: "config",
        message: `config /process/env/${index}: ${JSON.stringify(line)} is not NAME=value`,
      });
    }
    byName.set(line.slice(0, equals), line);
  });
  const home = byName.get("HOME");
  if (home === undefined || home === "HOME=") byName.set("HOME", `HOME=${homeOf(process.user.uid)}`);
  return [...byName.values()];
}

/** podman and docker read these words, those of Go's os/exec, to tell exit status 127 from 126. */
function failure(
  name: string,
  { why, hint }: Explanation,
  code: "command-not-found" | "command-not-executable",
): HakoError {
  return new HakoError({
    code,
    message: `unable to start container process: exec: ${JSON.stringify(name)}: ${why}`,
    hint,
    path: name,
    errno: code === "command-not-found" ? "ENOENT" : "EACCES",
  });
}

interface Obstacle extends Explanation {
  missing: boolean;
  isDirectory?: boolean;
}

/** Why a file can't be executed; undefined if it can. */
function obstacle(path: string): Obstacle | undefined {
  try {
    checkAccess(path, X_OK);
    if (statusAt(path)?.type === "directory")
      return { missing: false, isDirectory: true, why: "permission denied: it is a directory" };
    return undefined;
  } catch (thrown) {
    const { errno } = asHakoError(thrown);
    const missing = errno === "ENOENT" || errno === "ENOTDIR";
    const text = errno === undefined ? "unknown error" : errnoText(errno);
    if (missing) return { missing, why: `stat ${path}: ${text}` };
    const { why, hint } = explainExecution(lookAtProgram(path), errno);
    return { missing, why: why === undefined ? text : `${text}: ${path}: ${why}`, hint };
  }
}

/** Looks args[0] up in the container as its user, from its working directory: at create, so that create fails. */
export function findProgram(name: string, environment: readonly string[]): string {
  if (name.includes("/")) {
    const found = obstacle(name);
    if (found === undefined) return name;
    const code = found.missing ? "command-not-found" : "command-not-executable";
    throw failure(name, { hint: wordsHint(name), ...found }, code);
  }
  const path = environment.find((line) => line.startsWith("PATH="))?.slice("PATH=".length) ?? "";
  let denied: Obstacle | undefined;
  for (const directory of path.split(":")) {
    const candidate = `${directory === "" ? "." : directory}/${name}`;
    const found = obstacle(candidate);
    if (found === undefined) return candidate;
    // a directory of that name is passed over, as by a shell
    if (!found.missing && !found.isDirectory) denied ??= found;
  }
  if (denied !== undefined) throw failure(name, denied, "command-not-executable");
  const noPath = path === "" ? "config /process/env has no PATH: name the program by its path" : undefined;
  const why = "executable file not found in $PATH";
  throw failure(name, { why, hint: wordsHint(name) ?? noPath }, "command-not-found");
}

function wordsHint(name: string): string | undefined {
  return /\s/.test(name) ? "args is a list with an entry for each word, not a command line" : undefined;
}
