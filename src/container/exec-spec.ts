import { HakoError } from "../base/errors";
import { callerVariable } from "../linux/file/caller-environment";
import { readText } from "../linux/file/file";
import type { Capabilities, Process, User } from "../oci/config";
import { type EnvironmentLine, isEnvironmentLine } from "../oci/environment";
import { processProblems } from "../oci/semantics-process";
import { userOf } from "./user";

/** Loaded on first use. */
const rare = {
  /** The schema costs some milliseconds: it is loaded for a document, and to tell of problems. */
  get config() {
    return require("../oci/config") as typeof import("../oci/config");
  },
};

/** What the command line says of a process to run in a container. */
export interface ExecValues {
  process: string | undefined;
  tty: boolean;
  cwd: string | undefined;
  env: readonly string[];
  user: string | undefined;
  "additional-gids": readonly string[];
  cap: readonly string[];
  /** undefined: as config.json says. */
  "no-new-privs": boolean | undefined;
  apparmor: string | undefined;
  "process-label": string | undefined;
}

/** Flags that a process file leaves no room for. */
const FLAGS = [
  "cwd",
  "env",
  "user",
  "additional-gids",
  "cap",
  "no-new-privs",
  "apparmor",
  "process-label",
] as const satisfies (keyof ExecValues)[];

/** The process that `--process FILE` describes, or the container's own with what the flags change. */
export function execProcess(
  values: ExecValues,
  args: readonly string[],
  own: Process | undefined,
  rootfs: string,
): Process {
  if (values.process === undefined) return check(changed(values, args, own, rootfs), "exec");
  const given = FLAGS.find((name) => isGiven(values[name]));
  if (given !== undefined) throw usage(`--${given} and --process: the file says it`);
  if (args.length > 0)
    throw usage(`unexpected operand ${JSON.stringify(args[0])}: --process says the command`);
  const process = check(rare.config.parseProcess(readText(values.process), values.process), values.process);
  // conmon gives --tty together with a file that says the same
  return values.tty ? { ...process, terminal: true } : process;
}

function isGiven(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : value !== undefined;
}

function check(process: Process, file: string): Process {
  const problems = processProblems(process);
  if (problems.length > 0) throw rare.config.problemsError(problems, file);
  return process;
}

function changed(
  values: ExecValues,
  args: readonly string[],
  own: Process | undefined,
  rootfs: string,
): Process {
  if (args.length === 0) throw usage("which command? or --process FILE");
  if (own === undefined)
    throw new HakoError({ code: "state", message: "the container's own process is not known" });
  const { capabilities, noNewPrivileges, apparmorProfile, selinuxLabel } = own;
  return {
    ...own,
    terminal: values.tty,
    args: [...args],
    cwd: values.cwd ?? own.cwd,
    env: [...(own.env ?? []), ...values.env.map(variable)],
    user: userWith(values, own.user, rootfs),
    capabilities: withCapabilities(capabilities, namesOf(values.cap)),
    noNewPrivileges: values["no-new-privs"] ?? noNewPrivileges,
    apparmorProfile: values.apparmor ?? apparmorProfile,
    selinuxLabel: values["process-label"] ?? selinuxLabel,
  };
}

/** A word of `--env`: NAME alone takes the caller's variable, as with docker and podman. */
function variable(word: string): EnvironmentLine {
  if (isEnvironmentLine(word)) return word;
  if (word.startsWith("=")) {
    const message = `exec: --env ${JSON.stringify(word)}: expected NAME=value`;
    throw new HakoError({ code: "config", message });
  }
  const value = callerVariable(word);
  if (value === undefined)
    throw usage(`--env ${JSON.stringify(word)}: is not NAME=value, and there is no such variable here`);
  return `${word}=${value}`;
}

/** `--user` on top of config.json's user. A number changes only the id that it stands for, as with runc; names are the container's. */
function userWith(values: ExecValues, own: User, rootfs: string): User {
  const gids = values["additional-gids"].flatMap((word) => word.split(",")).map(groupNumber);
  const more = [...(own.additionalGids ?? []), ...gids];
  const rest = { umask: own.umask, username: own.username };
  if (values.user === undefined) return { ...own, additionalGids: more };
  const found = userOf(rootfs, values.user);
  const numeric = /^\d+(:|$)/.test(values.user);
  const gid = numeric && !values.user.includes(":") ? own.gid : found.gid;
  return {
    ...rest,
    uid: found.uid,
    gid,
    additionalGids: numeric ? more : [...(found.additionalGids ?? []), ...gids],
  };
}

function groupNumber(word: string): number {
  const id = Number(word);
  if (/^\d{1,10}$/.test(word) && id < 0xffffffff) return id;
  throw usage(`--additional-gids: ${JSON.stringify(word)} is not the number of a group`);
}

/** The capabilities that `--cap` names. */
function namesOf(cap: readonly string[]): string[] {
  return cap
    .flatMap((word) => word.split(","))
    .map((name) => {
      const upper = name.toUpperCase();
      return upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
    });
}

/**
 * Never the inheritable set: files' capabilities would then give the program more than it was given (CVE-2022-29162). What
 * config.json has there already is ambient too, or a program of another user than root would not have it. What of
 * config.json can't be ambient is left out, and nothing is said of it again: nobody has asked for it here.
 */
function withCapabilities(
  own: Capabilities | undefined,
  wanted: readonly string[],
): Capabilities | undefined {
  if (own === undefined && wanted.length === 0) return undefined;
  const inheritable = new Set(own?.inheritable?.map((name) => name.toUpperCase()));
  const plus = (set: readonly string[] | undefined) => [...new Set([...(set ?? []), ...wanted])];
  return {
    bounding: plus(own?.bounding),
    effective: plus(own?.effective),
    permitted: plus(own?.permitted),
    inheritable: own?.inheritable,
    ambient: plus(own?.ambient).filter((name) => inheritable.has(name.toUpperCase())),
  };
}

/** What of `--cap` a program of another user than root loses when it is executed: none of it is ambient. */
export function lostCapabilities(
  { cap }: Pick<ExecValues, "cap">,
  { user, capabilities }: Process,
): string[] {
  if (user.uid === 0) return [];
  const ambient = new Set(capabilities?.ambient);
  return namesOf(cap).filter((name) => !ambient.has(name));
}

function usage(message: string): HakoError {
  return new HakoError({ code: "usage", message: `exec: ${message}` });
}
