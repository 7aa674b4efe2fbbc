import { type ErrorCode, HakoError } from "../../base/errors";
import { exists, hasErrno, readText } from "../../linux/file/file";
import { directoryOf } from "./node";
import type { CgroupNode } from "./record";

/** Paths below a container's own cgroups, such as "/a/b", by hierarchy. */
export type SubCgroups = ReadonlyMap<CgroupNode, string>;

/** The cgroups that `exec --cgroup` names (runc exec: "[controller[,controller...]:]path"). */
export function subCgroups(nodes: readonly CgroupNode[], words: readonly string[]): SubCgroups {
  const found = new Map<CgroupNode, string>();
  const seen = new Set<string>();
  for (const word of words) {
    const colon = word.indexOf(":");
    const path = pathOf(word, word.slice(colon + 1));
    for (const name of colon < 0 ? [""] : word.slice(0, colon).split(",")) {
      if (seen.has(name)) throw wrong(word, "another --cgroup is for the same hierarchy");
      seen.add(name);
      for (const node of colon < 0 ? nodes : [nodeOf(nodes, word, name)]) {
        if (!exists(`${directoryOf(node)}${path}`))
          throw wrong(word, `${directoryOf(node)}${path} does not exist`, "not-found");
        // two of the controllers may be in one hierarchy
        if ((found.get(node) ?? path) !== path)
          throw wrong(word, "another --cgroup is for the same hierarchy");
        found.set(node, path);
      }
    }
  }
  return found;
}

/** The path below the container's cgroup. A leading slash changes nothing, and no path leads above. */
function pathOf(word: string, path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw wrong(word, "leads out of the container's cgroup");
  return parts.map((part) => `/${part}`).join("");
}

function nodeOf(nodes: readonly CgroupNode[], word: string, name: string): CgroupNode {
  const node = nodes.find(({ controllers, unified }) => !unified && controllers.includes(name));
  if (node !== undefined) return node;
  throw wrong(word, `the container has no cgroup v1 controller ${JSON.stringify(name)}`, "not-found");
}

function wrong(word: string, why: string, code: ErrorCode = "usage"): HakoError {
  return new HakoError({ code, message: `--cgroup ${JSON.stringify(word)}: ${why}` });
}

/**
 * The cgroup of a process as this process sees it: in the hierarchy of a v1 controller, or with "" in the unified one. undefined when
 * the process has gone.
 */
export function cgroupOfProcess(pid: number, controller: string): string | undefined {
  let text: string;
  try {
    text = readText(`/proc/${pid}/cgroup`);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
  for (const line of text.split("\n")) {
    const [, names = "", ...path] = line.split(":");
    if (path.length > 0 && names.split(",").includes(controller)) return path.join(":");
  }
  return undefined;
}
