import { type ErrnoName, errnoName, errnoText } from "../../../base/errno";
import { asHakoError, HakoError } from "../../../base/errors";
import type { Explanation, Sight } from "../../../explain/execution";
import { ACCESS } from "../../../linux/call/constants";
import type { Step } from "../../../linux/call/step";
import { walkSteps } from "../../../linux/call/walk";
import { accessStep, checkAccess, statusAt } from "../../../linux/file/file";
import { dirname } from "../../../linux/file/path-text";
import type { Process } from "../../../oci/config";
import type { EnvironmentLine } from "../../../oci/environment";

/** Loaded on first use. */
const rare = {
  /** Loaded when something is in the way. */
  get explainExecution() {
    return require("../../../explain/execution") as typeof import("../../../explain/execution");
  },
};

/**
 * The environment of the container's program: config.json's, each name once with its last value, and HOME if it has
 * none, as runc does; `homeOf` looks a user's up in the container.
 */
export function environmentOf(process: Process, homeOf: (uid: number) => string): EnvironmentLine[] {
  const byName = new Map<string, EnvironmentLine>();
  for (const line of process.env ?? []) byName.set(line.slice(0, line.indexOf("=")), line);
  const home = byName.get("HOME");
  if (home === undefined || home === "HOME=") byName.set("HOME", `HOME=${homeOf(process.user.uid)}`);
  return Array.from(byName.values());
}

interface Obstacle extends Explanation {
  missing: boolean;
  isDirectory?: boolean;
  /** It lies in a directory that may not be looked into: whether it is there nobody knows. */
  isHidden?: boolean;
}

/** podman and docker read these words, those of Go's os/exec, to tell exit status 127 from 126. */
function failure(name: string, { why, hint, missing }: Obstacle): HakoError {
  return new HakoError({
    code: missing ? "command-not-found" : "command-not-executable",
    message: `unable to start container process: exec: ${JSON.stringify(name)}: ${why}`,
    hint,
    path: name,
    errno: missing ? "ENOENT" : "EACCES",
  });
}

/** What is in the way of a file's execution. `look` is only done for what is there. */
function obstacleOf(path: string, errno: ErrnoName | undefined, look: () => Sight): Obstacle {
  const missing = errno === "ENOENT" || errno === "ENOTDIR";
  const text = errno === undefined ? "unknown error" : errnoText(errno);
  if (missing) return { missing, why: `stat ${path}: ${text}` };
  const sight = look();
  if (sight.directory)
    return { missing, isDirectory: true, why: `${errnoText("EACCES")}: it is a directory` };
  const { why, hint } = rare.explainExecution.explainExecution(sight, errno);
  const isHidden = sight.rights === undefined;
  return { missing, isHidden, why: why === undefined ? text : `${text}: ${path}: ${why}`, hint };
}

/** Why a file can't be executed; undefined if it can. */
function obstacle(path: string): Obstacle | undefined {
  try {
    checkAccess(path, ACCESS.X_OK);
    if (!isDirectory(path)) return undefined;
    return obstacleOf(path, "EACCES", () => rare.explainExecution.lookAtProgram(path));
  } catch (thrown) {
    return obstacleOf(path, asHakoError(thrown).errno, () => rare.explainExecution.lookAtProgram(path));
  }
}

function isDirectory(path: string): boolean {
  return statusAt(path)?.type === "directory";
}

/** Where a command may be: names with a slash are paths, others are searched in PATH; nothing has no name. */
export function placesOf(name: string, environment: readonly string[]): string[] {
  if (name === "") return [];
  if (name.includes("/")) return [name];
  return searchPath(environment)
    .split(":")
    .map((directory) => `${directory === "" ? "." : directory}/${name}`);
}

/** The path of a program's file from the root of its container. */
export function absoluteIn(process: Process, path: string): string {
  return path.startsWith("/") ? path : `${process.cwd}/${path}`;
}

function searchPath(environment: readonly string[]): string {
  return environment.find((line) => line.startsWith("PATH="))?.slice("PATH=".length) ?? "";
}

/** Goes on as long as nothing can be executed. */
function forbiddenStep(path: string): Step {
  return { ...accessStep(path, ACCESS.X_OK), success: "failure" };
}

/** Looks args[0] up in the container as its user, from its working directory: at create, so that create fails. */
export function findProgram(name: string, environment: readonly string[]): string {
  const places = placesOf(name, environment);
  // most are not there: the first that may be executed is asked for at once
  const [forbidden] = walkSteps(places.map(forbiddenStep));
  const allowed = places[forbidden];
  if (allowed !== undefined && !isDirectory(allowed)) return allowed;
  let denied: Obstacle | undefined;
  const hidden: string[] = [];
  for (const candidate of places.slice(forbidden < places.length ? forbidden : 0)) {
    const found = obstacle(candidate);
    if (found === undefined) return candidate;
    if (candidate === name) throw failure(name, { hint: wordsHint(name), ...found });
    if (found.isHidden) hidden.push(dirname(candidate));
    // what may not be looked into, or is a directory, is passed over, as by a shell
    else if (!found.missing && !found.isDirectory) denied ??= found;
  }
  throw denied === undefined ? notFound(name, environment, hidden) : failure(name, denied);
}

/** The error of a command that is nowhere in PATH; `hidden` are the directories of PATH that its user may not look into. */
export function notFound(
  name: string,
  environment: readonly string[],
  hidden: readonly string[] = [],
): HakoError {
  return failure(name, {
    missing: true,
    why: "executable file not found in $PATH",
    hint: wordsHint(name) ?? pathHint(environment, hidden),
  });
}

function pathHint(environment: readonly string[], hidden: readonly string[]): string | undefined {
  if (searchPath(environment) === "") return "config /process/env has no PATH: name the program by its path";
  return hidden.length === 0 ? undefined : `its user may not look into ${hidden.join(", ")}`;
}

/** The error of a command whose file the kernel would not execute. */
export function notExecuted(name: string, path: string, errno: number, sight: Sight): HakoError {
  const code = errnoName(errno);
  const gone = sight.errno === "ENOENT" || sight.errno === "ENOTDIR";
  const itself = gone || sight.errno === code || code === "EACCES";
  if (!itself) return rare.explainExecution.executionError(path, errno, sight);
  return failure(name, { hint: wordsHint(name), ...obstacleOf(path, code, () => sight) });
}

function wordsHint(name: string): string | undefined {
  if (name === "") return "the program's name is empty: was it a variable without a value?";
  return /\s/.test(name) ? "args is a list with an entry for each word, not a command line" : undefined;
}
