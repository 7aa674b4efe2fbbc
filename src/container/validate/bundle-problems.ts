import { asHakoError, type HakoError } from "../../base/errors";
import { didYouMean, nearestName } from "../../base/nearest";
import { openJoined } from "../../drivers/namespaces/birth/namespaces";
import { checkLabels } from "../../drivers/namespaces/program/labels";
import { specifiedFilesystem } from "../../drivers/namespaces/rootfs/mount-filesystem";
import { checkBelowProc, checkSameKind, duringMount } from "../../drivers/namespaces/rootfs/mounts";
import { systemError } from "../../linux/call/syscall";
import { exists, readText, statusAt } from "../../linux/file/file";
import { openToLook } from "../../linux/file/path";
import { cleanPath, resolve } from "../../linux/file/path-text";
import { fileStatusOf } from "../../linux/file/stat";
import { configuredFilesystem, fitsFsconfig, unknownFilesystem } from "../../linux/mount/filesystem";
import { CAPABILITIES, capabilityMask } from "../../linux/process/capabilities";
import { inUserNamespace } from "../../linux/process/rootless";
import type { Config, Mount, Problem } from "../../oci/config";
import { isBind, type MountPlan, planOf } from "../../oci/mount-options";
import { hasNamespace, joinedNamespace } from "../../oci/namespaces";
import type { CheckedConfig } from "../../oci/validate";
import { SYSCALLS } from "../../seccomp/syscalls";
import { unknownCalls } from "../../seccomp/unknown-calls";
import { hookProblems, programProblems } from "./program-problems";
import { RootfsView } from "./rootfs-view";

/** Loaded on first use. */
const rare = {
  get compile() {
    return require("../../seccomp/compile") as typeof import("../../seccomp/compile");
  },
  get answer() {
    return require("../../seccomp/answer") as typeof import("../../seccomp/answer");
  },
};

/**
 * What create would fail at, or ignore, when it uses what a config names: files of the host and of the rootfs, file systems, namespaces,
 * names that the kernel knows. All of it is looked at, by create's own code where that changes nothing, and none of it is used.
 */

export interface HostFindings {
  problems: Problem[];
  /** What create would ignore. */
  warnings: Problem[];
}

export function hostFindings(checked: CheckedConfig): HostFindings {
  const { config } = checked;
  const hooks = hookProblems(checked);
  return {
    problems: [
      ...mountsProblems(checked),
      ...namespacesProblems(config),
      ...attempt("/process", () => {
        if (config.process !== undefined) checkLabels(config.process);
      }),
      ...profileProblems(config),
      ...hooks.problems,
      ...programProblems(checked),
    ],
    warnings: [...hooks.warnings, ...capabilityWarnings(config), ...callWarnings(config)],
  };
}

/** An error as a problem of the field that its message names, or else of `pointer`. */
export function thrownProblem(thrown: unknown, pointer: string): Problem {
  const error: HakoError = asHakoError(thrown);
  const [, where = pointer, message = error.oneLine] = /^config (\/\S*?): (.*)$/s.exec(error.oneLine) ?? [];
  return { pointer: where, message };
}

function attempt(pointer: string, action: () => void): Problem[] {
  try {
    action();
    return [];
  } catch (thrown) {
    return [thrownProblem(thrown, pointer)];
  }
}

function mountsProblems({ config, bundle, rootfs }: CheckedConfig): Problem[] {
  const userNamespace = hasNamespace(config, "user") || inUserNamespace();
  return (config.mounts ?? []).flatMap((mount, index, mounts) =>
    attempt(`/mounts/${index}`, () =>
      duringMount(mount, index, { bundle, userNamespace }, () => {
        const plan = planOf(mount.options ?? []);
        if (plan.remount) return;
        if (isBind(mount)) {
          // in a mount namespace that exists the source may be another file
          if (joinedNamespace(config, "mount") !== undefined) return;
          checkBind(mount, plan, bundle, new RootfsView({ rootfs, bundle, mounts: mounts.slice(0, index) }));
        } else if (mount.type === "cgroup" || mount.type === "cgroup2") {
          checkBelowProc(cleanPath(mount.destination), undefined);
        } else checkFilesystem(mount, plan);
      }),
    ),
  );
}

function checkBind(mount: Mount, plan: MountPlan, bundle: string, view: RootfsView): void {
  const path = cleanPath(mount.destination);
  const source = resolve(bundle, mount.source ?? "");
  // stat throws where this user may not look
  if (statusAt(source, !plan.nofollow.has("source")) === undefined)
    throw systemError("open_tree", "ENOENT", source);
  using tree = openToLook(source);
  if (tree === undefined) return;
  checkBelowProc(path, tree);
  const target = view.look(path);
  if (typeof target === "string") return;
  using there = target;
  checkSameKind(source, fileStatusOf(tree), there, path);
}

/** Has the kernel check the options without mounting anything. File systems whose module is not loaded are left to create. */
function checkFilesystem(mount: Mount, plan: MountPlan): void {
  const type = mount.type ?? "none";
  checkBelowProc(cleanPath(mount.destination), undefined, type);
  const filesystem = specifiedFilesystem({}, mount, plan);
  const kind = filesystemKind(type);
  if (kind === "unknown") throw unknownFilesystem(filesystem);
  if (kind === "loadable" || !fitsFsconfig(filesystem)) return;
  try {
    configuredFilesystem(filesystem).close();
  } catch (thrown) {
    // an ordinary user may ask the kernel only in a user namespace
    const error = asHakoError(thrown);
    if (error.errno !== "EPERM" && error.errno !== "EACCES") throw error;
  }
}

/** Whether this kernel has a file system, or can load its module. */
function filesystemKind(type: string): "there" | "loadable" | "unknown" {
  // the part after a dot is the file system's own: fuse.sshfs
  const name = type.replace(/\..*/s, "");
  const text = (file: string) => (exists(file) ? readText(file) : undefined);
  const there = text("/proc/filesystems")?.split(/\s+/);
  if (there === undefined || there.includes(name)) return "there";
  // without this list the kernel has no modules, or hako is in a container that does not show the host's
  if (!exists("/proc/modules")) return "unknown";
  const release = readText("/proc/sys/kernel/osrelease").trim();
  const aliases = text(`/lib/modules/${release}/modules.alias`);
  const words = new RegExp(`^alias fs-${RegExp.escape(name)} `, "m");
  return aliases === undefined || words.test(aliases) ? "loadable" : "unknown";
}

function namespacesProblems({ linux }: Config): Problem[] {
  return (linux?.namespaces ?? []).flatMap(({ type, path = "" }, index) => {
    const look = () => openJoined(path, type, index).close();
    return path.startsWith("/") ? attempt(`/linux/namespaces/${index}/path`, look) : [];
  });
}

/** What create would find when it compiles the profile. */
function profileProblems({ linux, process }: Config): Problem[] {
  const profile = linux?.seccomp;
  if (profile === undefined) return [];
  return attempt("/linux/seccomp", () =>
    rare.answer.checkStart(rare.compile.compile(profile), process?.noNewPrivileges === true),
  );
}

function capabilityWarnings({ process }: Config): Problem[] {
  const sets = process?.capabilities ?? {};
  return (Object.keys(sets) as (keyof typeof sets)[]).flatMap((set) =>
    (sets[set] ?? []).flatMap((name, index) => {
      const unknown: string[] = [];
      capabilityMask([name], (each) => unknown.push(each));
      return unknown.map((each) => ({
        pointer: `/process/capabilities/${set}/${index}`,
        message: `unknown here, and left out: ${JSON.stringify(each)}${didYouMean(nearestName(each.toUpperCase(), CAPABILITIES))}`,
      }));
    }),
  );
}

/** Names of system calls that the profile's filter leaves out. */
function callWarnings({ linux }: Config): Problem[] {
  const profile = linux?.seccomp;
  if (profile === undefined) return [];
  const known = Object.keys(SYSCALLS);
  return unknownCalls(profile).map(({ name, pointer }) => ({
    pointer: `/linux/seccomp${pointer}`,
    message: `unknown system call, and left out: ${JSON.stringify(name)}${didYouMean(nearestName(name, known))}`,
  }));
}
