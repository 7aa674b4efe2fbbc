import type { CgroupManager } from "../cgroup/managers";
import { asHakoError, HakoError } from "../errors";
import { exists, hasErrno, readText, realPath, statusAt } from "../linux/file";
import { resolve } from "../linux/path-text";
import { workingDirectory } from "../linux/working-directory";
import { cgroupsPathProblems } from "./cgroups-path";
import { type Config, type Problem, problemLine, problemsError, readConfig } from "./config";
import { placeOf } from "./container-type";
import { pointer } from "./json";
import { semanticProblems } from "./semantics";
import { kataWarning } from "./semantics-isolation";
import { unknownFields } from "./unknown-fields";

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
    // realPath finds what is left of a directory that was deleted
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
  /** The config as it is written. */
  document?: unknown;
  problems: Problem[];
  file: string;
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

function examine(bundle: string, manager: CgroupManager, other?: string): Examined {
  const path = bundlePath(bundle);
  const file = other === undefined ? `${path}/config.json` : resolve(other);
  const read = readConfig(other === undefined ? configText(file) : readText(file), file);
  if ("problems" in read) return { checked: undefined, problems: read.problems, file };
  const { config, document } = read;
  const rootfs = resolve(path, config.root?.path ?? "");
  const checked = { config, bundle: path, rootfs };
  return { checked, document, problems: problemsOf(config, rootfs, manager), file };
}

/** A bundle's config, or another file in its place, checked in full: an error names everything that is wrong with it. */
export function checkedConfig(bundle: string, manager: CgroupManager, other?: string): CheckedConfig {
  const { checked, problems, file } = examine(bundle, manager, other);
  if (checked === undefined || problems.length > 0) throw problemsError(problems, file);
  return checked;
}

/** What is to be said about a bundle, a line each. */
export interface Findings {
  /** create would refuse it. */
  problems: string[];
  /** create would do without. */
  warnings: string[];
}

/** Every problem of a bundle, and what in it does nothing. */
export function bundleFindings(bundle: string, manager: CgroupManager): Findings {
  try {
    const { checked, document, problems, file } = examine(bundle, manager);
    if (checked === undefined || problems.length > 0)
      return { problems: problems.map((problem) => `${file}: ${problemLine(problem)}`), warnings: [] };
    const { config } = checked;
    const warnings = unknownFields(document, config).map((field) => `${field}: unknown, and does nothing`);
    const kata = kataWarning(config);
    if (kata !== undefined) warnings.push(kata.replace(/^config /, ""));
    return {
      problems: profileProblems(config, file),
      warnings: warnings.map((warning) => `${file}: ${warning}`),
    };
  } catch (thrown) {
    return { problems: [asHakoError(thrown).oneLine], warnings: [] };
  }
}

/** What create finds when it compiles a profile that has no other problem. */
function profileProblems({ linux, process }: Config, file: string): string[] {
  if (linux?.seccomp === undefined) return [];
  const { compile } = require("../seccomp/compile") as typeof import("../seccomp/compile");
  const { checkStart } = require("../seccomp/answer") as typeof import("../seccomp/answer");
  try {
    checkStart(compile(linux.seccomp), process?.noNewPrivileges === true);
    return [];
  } catch (thrown) {
    return [`${file}: ${asHakoError(thrown).oneLine.replace(/^config /, "")}`];
  }
}
