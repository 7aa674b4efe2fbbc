import { HakoError } from "../../base/errors";
import { callerVariable } from "../../linux/file/caller-environment";
import { workingDirectory } from "../../linux/file/working-directory";
import type { Process } from "../../oci/config";
import { type EnvironmentLine, isEnvironmentLine } from "../../oci/environment";
import { capabilitySets } from "./script-capabilities";
import type { ScriptIdentity } from "./script-identity";
import type { ScriptValues } from "./script-values";

/** Loaded on first use. */
const rare = {
  get ulimits() {
    return require("./script-ulimits") as typeof import("./script-ulimits");
  },
};

/** The program's environment. As with docker, a name without a value takes the caller's value, and is left out if the caller has none. */
export function scriptEnvironment(
  base: readonly EnvironmentLine[],
  given: readonly string[],
  callersValue = callerVariable,
): EnvironmentLine[] {
  const lines = given.flatMap((line): EnvironmentLine[] => {
    if (isEnvironmentLine(line)) return [line];
    if (line === "" || line.startsWith("="))
      throw HakoError.usage(`--env ${JSON.stringify(line)} is not NAME or NAME=VALUE`);
    const value = callersValue(line);
    return value === undefined ? [] : [`${line}=${value}`];
  });
  return [...base, ...lines];
}

/** What a program goes by to find others, to draw, and to read and write text and times: nothing of it is secret. */
const OF_CALLER = [
  ...["PATH", "TERM", "COLORTERM", "TZ", "LANG", "LANGUAGE", "LC_ALL", "LC_COLLATE", "LC_CTYPE"],
  ...["LC_MESSAGES", "LC_MONETARY", "LC_NUMERIC", "LC_TIME"],
];

/**
 * With `--rootfs /` the program starts in the caller's directory, so that `./script` works, and finds what the caller finds: programs, what
 * its terminal can do, and its locale: without one a compiler refuses what isn't ASCII.
 */
export function asCaller(
  rootfs: string,
  workdir: string | undefined,
): { cwd: string; env: EnvironmentLine[] } {
  if (rootfs !== "/") return { cwd: workdir ?? "/", env: [] };
  const env = OF_CALLER.flatMap((name): EnvironmentLine[] => {
    const value = callerVariable(name);
    return value === undefined || value === "" ? [] : [`${name}=${value}`];
  });
  return { cwd: workdir ?? workingDirectory(), env };
}

/** config.json's process. `env` is what its environment has before the lines of flags. */
export function scriptProcess(
  values: Pick<ScriptValues, "tty" | "env" | "ulimit">,
  base: Process | undefined,
  { user, capabilities }: ScriptIdentity,
  own: { args: readonly string[]; cwd: string; env: readonly EnvironmentLine[] },
): Process {
  const { tty, env, ulimit } = values;
  return {
    ...base,
    terminal: tty,
    args: [...own.args],
    env: scriptEnvironment([...(base?.env ?? []), ...own.env], env),
    cwd: own.cwd,
    user,
    capabilities: capabilitySets(capabilities, user.uid),
    // others are the caller's
    rlimits: ulimit.map((spec) => rare.ulimits.ulimitOf(spec)),
    noNewPrivileges: true,
  };
}
