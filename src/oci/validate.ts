import { resolve } from "node:path";
import type { CgroupManager } from "../cgroup/managers";
import { asHakoError, HakoError } from "../errors";
import { exists, readText, realPath, statusAt } from "../linux/file";
import { cgroupsPathProblems } from "./cgroups-path";
import { type Config, type Problem, problemLine, problemsError, readConfig } from "./config";
import { placeOf } from "./container-type";
import { pointer } from "./json";
import { semanticProblems } from "./semantics";

export interface CheckedConfig {
  config: Config;
  /** Absolute, without links. */
  bundle: string;
  rootfs: string;
}

/** The absolute path of a bundle, which must be a directory. */
function bundlePath(bundle: string): string {
  if (bundle === "") throw new HakoError({ code: "usage", message: "missing bundle path" });
  const shown = JSON.stringify(bundle);
  let path: string;
  try {
    path = realPath(bundle);
  } catch (thrown) {
    const cause = asHakoError(thrown);
    throw new HakoError({ code: "config", message: `invalid bundle path ${shown}`, cause, path: bundle });
  }
  if (statusAt(path)?.type === "directory") return path;
  throw new HakoError({
    code: "config",
    message: `invalid bundle path ${shown}, it should be a directory`,
    path: bundle,
  });
}

/** Every problem of a config that has the right types; `rootfs` is where its root file system is. */
function problemsOf(config: Config, rootfs: string, manager: CgroupManager): Problem[] {
  const problems = [
    ...semanticProblems(config),
    ...hostNetworkProblems(config),
    ...cgroupsPathProblems(config, manager),
  ];
  if ((config.root?.path ?? "") !== "") {
    problems.push(...failureAt("/root/path", () => checkDirectory(rootfs)));
  }
  problems.push(...failureAt("/annotations", () => placeOf(config.annotations ?? {})));
  return problems;
}

/** What an action throws as a problem of a field. */
function failureAt(pointer: string, action: () => void): Problem[] {
  try {
    action();
    return [];
  } catch (thrown) {
    return [{ pointer, message: asHakoError(thrown).message }];
  }
}

function checkDirectory(path: string): void {
  const type = statusAt(path)?.type;
  const wrong = (message: string) => new HakoError({ code: "config", message, path });
  if (type === undefined) throw wrong(`${path} does not exist`);
  if (type !== "directory") throw wrong(`${path} is not a directory`);
}

/**
 * Parameters of the network are refused where the joined namespace is our own: they would be the host's. All namespaces are
 * of one file system, so their inodes tell them apart.
 */
function hostNetworkProblems({ linux }: Config): Problem[] {
  const names = Object.keys(linux?.sysctl ?? {}).filter((name) => /^net[./]/.test(name));
  const path = linux?.namespaces?.find(({ type }) => type === "network")?.path;
  if (names.length === 0 || path === undefined || path === "") return [];
  // a path that can't be looked at is told when it is joined
  if (!exists(path) || statusAt(path)?.inode !== statusAt("/proc/self/ns/net")?.inode) return [];
  return names.map((name) => ({
    pointer: pointer(["linux", "sysctl", name]),
    message: `would be the host's: ${path} is the network namespace that hako runs in`,
  }));
}

interface Examined {
  checked: CheckedConfig | undefined;
  problems: Problem[];
  file: string;
}

function examine(bundle: string, manager: CgroupManager): Examined {
  const path = bundlePath(bundle);
  const file = `${path}/config.json`;
  const read = readConfig(readText(file), file);
  if ("problems" in read) return { checked: undefined, problems: read.problems, file };
  const { config } = read;
  const rootfs = resolve(path, config.root?.path ?? "");
  return { checked: { config, bundle: path, rootfs }, problems: problemsOf(config, rootfs, manager), file };
}

/** A bundle's config, checked in full: an error names everything that is wrong with it. */
export function checkedConfig(bundle: string, manager: CgroupManager): CheckedConfig {
  const { checked, problems, file } = examine(bundle, manager);
  if (checked === undefined || problems.length > 0) throw problemsError(problems, file);
  return checked;
}

/** Every problem of a bundle, a line each. */
export function bundleProblems(bundle: string, manager: CgroupManager): string[] {
  try {
    const { problems, file } = examine(bundle, manager);
    return problems.map((problem) => `${file}: ${problemLine(problem)}`);
  } catch (thrown) {
    return [asHakoError(thrown).oneLine];
  }
}
