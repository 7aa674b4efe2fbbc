import { nearestName } from "../../base/nearest";
import { exists, listNames } from "../file/file";

/** Where ip-netns(8) has namespaces that have a name. */
const NAMED = "/run/netns";

/** The file of a network namespace that is called by its name, as `ip netns exec` does, or by its path. */
export function namespaceFile(word: string): string {
  return word.includes("/") ? word : `${NAMED}/${word}`;
}

/** What to do where there is no such namespace: another name was meant perhaps, of those that ip-netns(8) knows or `others`. */
export function missingNamespaceHint(word: string, others: readonly string[] = []): string {
  const names = exists(NAMED) ? listNames(NAMED) : [];
  const prefix = word.startsWith(`${NAMED}/`) ? `${NAMED}/` : "";
  const meant = nearestName(word.slice(prefix.length), [...others, ...names]);
  return meant === undefined
    ? "hako sets up none: ip netns add NAME does"
    : `did you mean ${prefix}${meant}?`;
}
