import { asHakoError, HakoError } from "../errors";
import { errnoNumber, errnoText } from "../linux/errno";
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
function failure(name: string, why: string, code: "command-not-found" | "command-not-executable"): HakoError {
  return new HakoError({
    code,
    message: `unable to start container process: exec: ${JSON.stringify(name)}: ${why}`,
    path: name,
    errno: code === "command-not-found" ? "ENOENT" : "EACCES",
  });
}

/** Why a file can't be executed; undefined if it can. */
function obstacle(path: string): { missing: boolean; why: string } | undefined {
  try {
    checkAccess(path, X_OK);
    if (statusAt(path)?.type === "directory")
      return { missing: false, why: "permission denied: it is a directory" };
    return undefined;
  } catch (thrown) {
    const { errno } = asHakoError(thrown);
    const missing = errno === "ENOENT" || errno === "ENOTDIR";
    const text = errno === undefined ? "unknown error" : errnoText(errnoNumber(errno));
    return { missing, why: missing ? `stat ${path}: ${text}` : text };
  }
}

/** Looks args[0] up in the container as its user, from its working directory: at create, so that create fails. */
export function findProgram(name: string, environment: readonly string[]): string {
  if (name.includes("/")) {
    const why = obstacle(name);
    if (why === undefined) return name;
    throw failure(name, why.why, why.missing ? "command-not-found" : "command-not-executable");
  }
  const path = environment.find((line) => line.startsWith("PATH="))?.slice("PATH=".length) ?? "";
  let denied = false;
  for (const directory of path.split(":")) {
    const candidate = `${directory === "" ? "." : directory}/${name}`;
    const why = obstacle(candidate);
    if (why === undefined) return candidate;
    if (!why.missing) denied = true;
  }
  if (denied) throw failure(name, "permission denied", "command-not-executable");
  throw failure(name, "executable file not found in $PATH", "command-not-found");
}
