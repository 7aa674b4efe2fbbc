import { HakoError } from "../base/errors";
import { callerVariable } from "../linux/file/caller-environment";
import { effectiveUser } from "../linux/process/rootless";

/** Directories of the XDG Base Directory Specification: a variable, where they are below HOME, and where root's are. */
const KINDS = {
  cache: { variable: "XDG_CACHE_HOME", below: ".cache", system: "/var/cache" },
  data: { variable: "XDG_DATA_HOME", below: ".local/share", system: "/var/lib" },
} as const;

/** hako's own directory among the user's caches or data, or the system's for root; `what` is what is to be kept there. */
export function userDirectory(kind: keyof typeof KINDS, what: string): string {
  const { variable, below, system } = KINDS[kind];
  const given = callerVariable(variable);
  if (given?.startsWith("/")) return `${given}/hako`;
  if (effectiveUser() === 0) return `${system}/hako`;
  const home = callerVariable("HOME");
  if (home?.startsWith("/")) return `${home}/${below}/hako`;
  throw new HakoError({
    code: "state",
    message: `no place for ${what}: neither ${variable} nor HOME is set`,
    hint: `${variable}=DIR names one`,
  });
}
