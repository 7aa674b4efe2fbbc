import { errnoHint } from "../../base/errno-hints";
import { during, HakoError } from "../../base/errors";
import type { SeccompFilter } from "../../linux/process/filter-steps";
import type { Seccomp } from "../../oci/config";
import { defaultProfile, relevantCapabilities } from "../../seccomp/default-profile";

/** Loaded on first use. */
const rare = {
  get seccompFile() {
    return require("../../seccomp/seccomp-file") as typeof import("../../seccomp/seccomp-file");
  },
};

/**
 * Set by build.ts: the default profile's filters in base64, by the capabilities that make a difference to them. To compile one takes 5 ms, to find it
 * among those that were compiled before half a millisecond.
 */
declare const HAKO_DEFAULT_FILTERS: Readonly<Record<string, string>> | undefined;

/** A profile, and its filter where the build has compiled that. */
export interface ScriptSeccomp {
  profile: Seccomp;
  filter: SeccompFilter | undefined;
}

/** `--seccomp default|FILE|off` of `hako run --rootfs`, for a program with these capabilities. */
export function seccompOf(
  given: string | undefined,
  capabilities: readonly string[],
): ScriptSeccomp | undefined {
  if (given === "off") return undefined;
  if (given === undefined || given === "default")
    return { profile: defaultProfile(capabilities), filter: builtFilter(capabilities) };
  if (given === "")
    throw new HakoError({
      code: "usage",
      message: "--seccomp: empty",
      hint: "default, off, or a file with a profile",
    });
  const profile = during(
    "--seccomp",
    () => rare.seccompFile.readProfile(given, capabilities),
    ({ errno }) => ({ hint: errnoHint("read a seccomp profile", errno) }),
  );
  return { profile, filter: undefined };
}

/** The filter from the build; undefined when hako runs from its sources, or where a capability was given or taken that makes a difference. */
function builtFilter(capabilities: readonly string[]): SeccompFilter | undefined {
  if (typeof HAKO_DEFAULT_FILTERS === "undefined") return undefined;
  const program = HAKO_DEFAULT_FILTERS[String(relevantCapabilities(capabilities))];
  return program === undefined
    ? undefined
    : { program: Uint8Array.fromBase64(program), flags: 0, passedBy: "sendmsg" };
}
