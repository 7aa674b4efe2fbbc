import { errnoHint } from "../../base/errno-hints";
import { during, HakoError } from "../../base/errors";
import type { SeccompFilter } from "../../linux/process/filter-steps";
import type { Seccomp } from "../../oci/config";
import { defaultProfile, relevantCapabilities } from "../../seccomp/default-profile";
import { SCRIPT_CAPABILITIES } from "./script-capabilities";

/** Loaded on first use. */
const rare = {
  get seccompFile() {
    return require("../../seccomp/seccomp-file") as typeof import("../../seccomp/seccomp-file");
  },
};

/** Set by build.ts: the default profile's filter for the usual capabilities, in base64. Compiling it takes longer than the rest of a start. */
declare const HAKO_DEFAULT_FILTER: string | undefined;

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

/** The filter from the build; undefined when hako runs from its sources, or when the profile depends on a capability that is not the usual one. */
function builtFilter(capabilities: readonly string[]): SeccompFilter | undefined {
  if (typeof HAKO_DEFAULT_FILTER === "undefined") return undefined;
  const same =
    String(relevantCapabilities(capabilities)) === String(relevantCapabilities(SCRIPT_CAPABILITIES));
  return same
    ? { program: Uint8Array.fromBase64(HAKO_DEFAULT_FILTER), flags: 0, passedBy: "sendmsg" }
    : undefined;
}
