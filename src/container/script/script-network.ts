import { HakoError } from "../../base/errors";
import { exists } from "../../linux/file/file";
import { missingNamespaceHint, namespaceFile } from "../../linux/network/named-namespace";
import { NAME_SERVER } from "../../network/label-addresses";
import { hostsFile, type NetworkPlan, networkPlan, resolverFile } from "../../network/network-plan";
import { isNetworkRule } from "../../network/rule";
import type { EnvironmentLine } from "../../oci/environment";
import { HOSTS, RESOLVER } from "../../state/root";
import { type OwnFile, type OwnFiles, ownFiles } from "./mount-order";

/** Loaded for HTTPS whose requests get headers. */
const rare = {
  get trust() {
    return require("./authority-trust") as typeof import("./authority-trust");
  },
};

/** The flags about a network. */
export interface NetworkValues {
  network: readonly string[];
  forward: readonly string[];
  publish: readonly string[];
  "inject-header": readonly string[];
  "network-log": string | undefined;
}

/** What the flags come to. */
export interface ScriptNetwork extends OwnFiles {
  /** The container's network namespace: a new one, hako's, or the one of a file. */
  namespace: "new" | "host" | { path: string };
  /** What the command serves while the program runs. */
  plan: NetworkPlan | undefined;
  /** Variables of the program, which those that the caller says come after. */
  env: readonly EnvironmentLine[];
}

/** The network of a container of this name, whose own files are in `directory`. */
export function scriptNetwork(
  values: NetworkValues,
  rootfs: string,
  directory: string,
  hostname: string,
): ScriptNetwork {
  const { network, forward, publish, "inject-header": inject, "network-log": log } = values;
  const rules = network.filter(isNetworkRule);
  const word = network.findLast((each) => each !== "" && !isNetworkRule(each));
  const plan = networkPlan({ rules, forward, publish, inject, log });
  if (plan === undefined)
    return { namespace: namespaceOf(word), plan, files: new Map(), mounts: [], env: [] };
  if (word !== undefined && (word !== "none" || rules.length > 0))
    throw HakoError.usage(
      `--network ${word} contradicts ${rules.length > 0 ? `--network ${rules[0]}` : "--forward and --publish"}`,
      "what rules allow is reached from a network of the container's own",
    );
  // without rules nobody answers for names
  const own: OwnFile[] =
    rules.length === 0
      ? []
      : [
          { name: RESOLVER, text: resolverFile(NAME_SERVER), places: ["/etc/resolv.conf"] },
          { name: HOSTS, text: hostsFile(hostname), places: ["/etc/hosts"] },
        ];
  const trust = plan.opened && rare.trust.authorityTrust(rootfs, plan.opened.authority.certificate);
  return {
    namespace: "new",
    plan,
    ...ownFiles(directory, trust === undefined ? own : [...own, trust.file]),
    env: trust?.env ?? [],
  };
}

function namespaceOf(word: string | undefined): ScriptNetwork["namespace"] {
  if (word === undefined || word === "none") return "new";
  return word === "host" ? "host" : { path: namespacePath(word) };
}

/** The file of the network namespace that `--network NAME|PATH` says, which has to be there: `none` or `host` may have been meant. */
function namespacePath(word: string): string {
  const quoted = JSON.stringify(word);
  if (word.includes("/") && !word.startsWith("/"))
    throw HakoError.usage(`--network: ${quoted} is neither none nor host nor a name nor an absolute path`);
  const path = namespaceFile(word);
  if (exists(path)) return path;
  const named = word.includes("/");
  throw new HakoError({
    code: named ? "config" : "usage",
    message: named
      ? `--network ${path}: no such file or directory`
      : `--network: ${quoted} is neither none nor host, and there is no ${path}`,
    hint: missingNamespaceHint(word, ["none", "host"]),
    path,
  });
}
