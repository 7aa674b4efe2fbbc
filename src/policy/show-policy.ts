import { headerWithoutValue } from "../network/injected-headers";
import type { AppliedPolicy } from "./applied-policy";
import { LIMIT_NAMES } from "./policy";

const PLACES = ["hide", "read", "write", "protect"] as const;

/** What is said of a place that isn't there. */
const MISSING: Readonly<Partial<Record<(typeof PLACES)[number], string>>> = {
  read: "not there",
  write: "not there: not written",
  protect: "not there: can't be held",
};

/** A policy as JSON tells it. */
export function policyFields({ policy, places, unprotected }: AppliedPolicy) {
  const { name, files, network, tmpfs, env, forward, publish } = policy;
  const headers = policy["inject-header"].map(headerWithoutValue);
  return {
    policy: name,
    files,
    ...Object.fromEntries(
      PLACES.map((what) => [what, places[what].map(({ path, isThere }) => ({ path, isThere }))]),
    ),
    unprotected,
    ...{ volume: places.volume, tmpfs, env },
    network: network.length === 0 ? ["none"] : network,
    ...{ forward, publish, "inject-header": headers },
    ...Object.fromEntries(LIMIT_NAMES.map((what) => [what, policy[what] ?? null])),
  };
}

/** A policy as rows of a table: what it does, to what, and what there is to say about that. */
export function policyRows(applied: AppliedPolicy): string[][] {
  const { policy, places } = applied;
  const { network } = policy;
  const values = {
    ...{ volume: places.volume, tmpfs: policy.tmpfs, env: policy.env },
    network: network.length === 0 ? ["none"] : network,
    ...{ forward: policy.forward, publish: policy.publish },
    "inject-header": policy["inject-header"].map(headerWithoutValue),
  };
  return [
    ...PLACES.flatMap((what) =>
      places[what]
        // many programs' secrets are listed, of which few are there
        .filter(({ isThere }) => isThere || what !== "hide")
        .map(({ path, isThere }) => [what, path, isThere ? "" : (MISSING[what] ?? "")]),
    ),
    ...Object.entries(values).flatMap(([what, all]) => all.map((value) => [what, value, ""])),
    ...LIMIT_NAMES.flatMap((what) => (policy[what] === undefined ? [] : [[what, policy[what], ""]])),
  ];
}
