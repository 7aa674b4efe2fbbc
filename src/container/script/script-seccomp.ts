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

/** A default profile as JSON, and its filter in base64. */
export interface BuiltSeccomp {
  profile: string;
  program: string;
}

/**
 * Set by build.ts: the default profile, by the capabilities that make a difference to it. To compile its filter takes 5 ms, to find that among those
 * that were compiled before half a millisecond; to make the profile takes five times what it takes to read it.
 */
declare const HAKO_DEFAULT_SECCOMP: Readonly<Record<string, BuiltSeccomp>> | undefined;

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
    return builtSeccomp(capabilities) ?? { profile: defaultProfile(capabilities), filter: undefined };
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

/** The default from the build; undefined when hako runs from its sources, or where a capability was given or taken that makes a difference. */
function builtSeccomp(capabilities: readonly string[]): ScriptSeccomp | undefined {
  if (typeof HAKO_DEFAULT_SECCOMP === "undefined") return undefined;
  const built = HAKO_DEFAULT_SECCOMP[String(relevantCapabilities(capabilities))];
  if (built === undefined) return undefined;
  const program = Uint8Array.fromBase64(built.program);
  return { profile: JSON.parse(built.profile), filter: { program, flags: 0, passedBy: "sendmsg" } };
}
