import type { SeccompFilter } from "../../../linux/process/filter-steps";

/** Loaded on first use: not by a build, which has the filter. */
const rare = {
  get compile() {
    return require("../../../seccomp/compile") as typeof import("../../../seccomp/compile");
  },
  get profile() {
    return require("./confined-profile") as typeof import("./confined-profile");
  },
};

/** Set by build.ts: the filter of confined programs, in base64. */
declare const HAKO_CONFINED_FILTER: string | undefined;

/** The filter of confined programs, which they may add theirs to. */
export function confinedFilter(): SeccompFilter {
  if (typeof HAKO_CONFINED_FILTER === "undefined")
    return rare.compile.compile(rare.profile.confinedProfile());
  return { program: Uint8Array.fromBase64(HAKO_CONFINED_FILTER), flags: 0, passedBy: "sendmsg" };
}
