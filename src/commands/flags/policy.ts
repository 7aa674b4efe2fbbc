import { HakoError } from "../../base/errors";
import type { Argument } from "../../cli/arguments";
import type { ScriptPolicy } from "../../container/script/script-values";
import type { PolicyValues } from "../../policy/applied-policy";
import { CREATE_FLAGS } from "./create";

/** Loaded on first use. */
const rare = {
  get appliedPolicy() {
    return require("../../policy/applied-policy") as typeof import("../../policy/applied-policy");
  },
};

export const POLICY_FLAGS = {
  policy: {
    type: "string",
    keepsEmpty: true,
    valueHint: "NAME|FILE|FD",
    description:
      "without a bundle, --rootfs / if not given: run COMMAND by what default, build, agent, a file or a descriptor that you have opened says; flags add to it. hako policy show tells what that is",
  },
} as const satisfies Record<string, Argument>;

type Flags = PolicyValues & { policy: string | undefined; bundle: string; config: string | undefined };

/** The flags of a run with those of its policy, if it has one, and what that says beside them. */
export function withPolicy<T extends Flags>(flags: T): { args: T; policy: ScriptPolicy | undefined } {
  if (flags.policy === undefined) return { args: flags, policy: undefined };
  if (flags.bundle !== CREATE_FLAGS.bundle.default || flags.config !== undefined)
    throw HakoError.usage("--policy is not for bundles", "a bundle's config.json says what it may");
  const applied = new rare.appliedPolicy.AppliedPolicy(flags.policy);
  const { args, guards } = applied.addedTo(flags);
  const { policy, annotations, places } = applied;
  const mounts = { volume: places.volume, tmpfs: policy.tmpfs };
  return { args, policy: { name: policy.name, mounts, guards, annotations, gitIndex: places.gitIndex } };
}
