import type { InferOutput } from "valibot";
import type { ListName, policySchema } from "./policy-schema";

/**
 * What a `hako run` may read, write and reach, by the names of run's flags. Paths are the host's: `~` is a home directory, `$NAME` what a variable
 * of the caller's says, a relative one is below the working directory; of `hide` and `protect` also patterns (`path-pattern.ts`).
 */

/** A policy as a file has it. */
export type PolicyDocument = InferOutput<typeof policySchema>;

/** Lists of a policy are added to those of the policy that it extends; of other fields its own counts. */
const LISTS: Record<ListName, true> = {
  ...{ hide: true, read: true, write: true, protect: true, volume: true, tmpfs: true },
  ...{ forward: true, publish: true, "inject-header": true, env: true },
};
export const LIST_NAMES = Object.keys(LISTS) as ListName[];
export const LIMIT_NAMES = ["memory", "cpus", "pids", "timeout"] as const;

/** What one of the policies that a policy is made of hides, and what it has shown, or something mounted in place of. */
export type PolicyLayer = Pick<Policy, "hide" | "read" | "volume" | "tmpfs">;

/** A policy with all that it extends. */
export interface Policy extends Record<ListName, readonly string[]> {
  name: string;
  /** From the one that extends nothing on: each decides about what those before it hide. */
  layers: readonly PolicyLayer[];
  /** The files that it was read from: what runs by it must not change them. */
  files: readonly string[];
  /** Values of --network. */
  network: readonly string[];
  memory: string | undefined;
  cpus: string | undefined;
  pids: string | undefined;
  timeout: string | undefined;
}
