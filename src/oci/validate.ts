import { asHakoError, HakoError } from "../base/errors";
import { exists, hasErrno, readText, realPath, statusAt } from "../linux/file/file";
import { resolve } from "../linux/file/path-text";
import { workingDirectory } from "../linux/file/working-directory";
import type { CgroupManager } from "./cgroup-managers";
import { cgroupsPathProblems } from "./cgroups-path";
import { type Config, type Problem, problemsError, readConfig } from "./config";
import { placeOf } from "./container-type";
import { pointer } from "./json";
import type { PartialConfig } from "./partial";
import { semanticProblems } from "./semantics";

/** Loaded on first use. */
const rare = {
  get partial() {
    return require("./partial") as typeof import("./partial");
  },
};

export interface CheckedConfig {
  config: Config;
  /** The absolute path, without symbolic links. */
  bundle: string;
  rootfs: string;
}

/** The absolute path of a bundle; an error if it is no directory. */
function bundlePath(bundle: string): string {
  if (bundle === "") throw new HakoError({ code: "usage", message: "missing bundle path" });
  const shown = JSON.stringify(bundle);
  let path: string;
  try {
    // of a working directory that was deleted, realPath would find what is left
    if (!bundle.startsWith("/")) workingDirectory();
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

/** All problems of a config whose fields have the right types; `rootfs` is the path of its root file system. */
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

/** The error of an action as a problem of a field. */
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
 * Refuses kernel parameters of the network where the container joins hako's own network namespace: they would be the host's. Inodes
 * tell namespaces apart, for all of them are files of one file system.
 */
function hostNetworkProblems({ linux }: Config): Problem[] {
  const names = Object.keys(linux?.sysctl ?? {}).filter((name) => /^net[./]/.test(name));
  const path = linux?.namespaces?.find(({ type }) => type === "network")?.path;
  if (names.length === 0 || path === undefined || path === "") return [];
  // a path that can't be looked at fails when it is joined, with a better message
  if (!exists(path) || statusAt(path)?.inode !== statusAt("/proc/self/ns/net")?.inode) return [];
  return names.map((name) => ({
    pointer: pointer(["linux", "sysctl", name]),
    message: `would be the host's: ${path} is the network namespace that hako runs in`,
  }));
}

/** A bundle's config.json, or another file in its place. */
export interface Examined {
  file: string;
  /** The config; undefined where a field has a wrong type. */
  checked: CheckedConfig | undefined;
  /** The part of the config that has the right types, for further checks. */
  part: (CheckedConfig & PartialConfig) | undefined;
  problems: Problem[];
}

function configText(file: string): string {
  try {
    return readText(file);
  } catch (error) {
    if (!hasErrno(error, "ENOENT")) throw error;
    const { message, errno, path } = asHakoError(error);
    const hint = "--bundle names the directory that holds it; hako spec writes one";
    throw new HakoError({ code: "system", message, errno, path, hint });
  }
}

/** Finds all problems of a config that don't depend on the host. */
export function examine(bundle: string, manager: CgroupManager, other?: string): Examined {
  const path = bundlePath(bundle);
  const file = other === undefined ? `${path}/config.json` : resolve(other);
  const read = readConfig(other === undefined ? configText(file) : readText(file), file);
  const { document } = read;
  const whole: PartialConfig | undefined =
    "config" in read
      ? { config: read.config, document, inDocument: (problem) => problem }
      : partial(document);
  const part =
    whole === undefined
      ? undefined
      : { ...whole, bundle: path, rootfs: resolve(path, whole.config.root?.path ?? "") };
  const others = part === undefined ? [] : problemsOf(part.config, part.rootfs, manager);
  const certain = others.map((each) => part?.inDocument(each)).filter((each) => each !== undefined);
  if ("config" in read) return { file, checked: part, part, problems: certain };
  return { file, checked: undefined, part, problems: [...read.problems, ...certain] };
}

/** Loaded where a field has a wrong type. */
function partial(document: unknown): PartialConfig | undefined {
  return rare.partial.partialConfig(document);
}

/** Reads a bundle's config.json, or another file in its place. Throws one error that names all problems. */
export function checkedConfig(bundle: string, manager: CgroupManager, other?: string): CheckedConfig {
  const { checked, problems, file } = examine(bundle, manager, other);
  if (checked === undefined || problems.length > 0) throw problemsError(problems, file);
  return checked;
}
