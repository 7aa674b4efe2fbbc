import { asHakoError } from "../base/errors";
import { callerVariable } from "../linux/file/caller-environment";
import { listNames, statusAt } from "../linux/file/file";
import { join } from "../linux/file/path-text";
import { logWarning } from "../output/log";
import { type Listed, listContainers } from "./list";

/**
 * State directories that hako is given by those who call it, below /run and below an ordinary user's $XDG_RUNTIME_DIR; * is any name. podman and
 * buildah name none, so theirs is the default one.
 */
const ROOTS: readonly string[] = [
  "hako",
  // CRI-O's runtime_root, where it is not another
  "runc",
  "kata",
  // docker has one for each runtime and each namespace
  "docker/runtime-*/*",
  "docker/containerd/runtime-*/*",
  // containerd's, and Kubernetes' with it: one for each namespace
  "containerd/runc/*",
  "containerd/*/runc/*",
];

/** A container, and the state directory that it was found in. */
export interface ListedInRoot extends Listed {
  root: string;
}

/** `given`, and the state directories that clients are known to use, as far as they are there. */
export function knownRoots(given: string): string[] {
  const bases = ["/run", callerVariable("XDG_RUNTIME_DIR") ?? ""].filter((base) => base !== "");
  return [...new Set([given, ...bases.flatMap((base) => ROOTS.flatMap((each) => expand(base, each)))])];
}

/** The containers of the state directories that clients are known to use, and of `given`; those of other runtimes are left out. */
export function listAllRoots(given: string): ListedInRoot[] {
  return knownRoots(given).flatMap((root) => {
    try {
      return listContainers(root, true).map((listed) => ({ ...listed, root }));
    } catch (thrown) {
      const error = asHakoError(thrown);
      // one that only its owner may look into, or that others may write to
      logWarning(error.oneLine);
      return [];
    }
  });
}

/** The directories that a pattern matches. */
function expand(base: string, pattern: string): string[] {
  let found = [base];
  for (const word of pattern.split("/")) {
    const [before = "", after] = word.split("*");
    found = found.flatMap((dir) =>
      after === undefined
        ? [join(dir, word)]
        : namesIn(dir)
            .filter((name) => name.startsWith(before) && name.endsWith(after))
            .map((name) => join(dir, name)),
    );
  }
  return found.filter((dir) => statusAt(dir)?.type === "directory");
}

function namesIn(dir: string): string[] {
  return statusAt(dir)?.type === "directory" ? listNames(dir).sort() : [];
}
