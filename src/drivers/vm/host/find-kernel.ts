import { asHakoError, during, HakoError } from "../../../base/errors";
import { exists, listNames, readBytes, readText } from "../../../linux/file/file";
import { dirname } from "../../../linux/file/path-text";
import { SETTINGS_FILE } from "../../../settings/settings";
import { userDirectory } from "../../../state/user-directory";
import type { KernelSource } from "../guest/guest-files";
import { releaseOf } from "../guest/kernel-image";
import { GUEST_MODULES, ModuleDirectory } from "../guest/kernel-modules";
import { downloadablePackages, installLine } from "./distribution";

export interface FoundKernel extends KernelSource {
  release: string;
  from: "settings" | "downloaded" | "host";
}

/** A kernel that may do. */
interface Candidate {
  path: string;
  /** The directory of its modules; by its release if not given. */
  modules: string | undefined;
  from: FoundKernel["from"];
}

/** Where `machine setup --download` unpacks kernels, each below the name of its package. */
export function kernelsDirectory(): string {
  return `${userDirectory("data", "kernels of machines")}/kernels`;
}

/** Names in a directory; none where it is not there. */
function namesIn(path: string): string[] {
  return exists(path) ? listNames(path) : [];
}

/** Kernels below a root directory as distributions have them: in /boot, or with their modules. The newest is first. */
function kernelsBelow(root: string, from: Candidate["from"]): Candidate[] {
  const boot = namesIn(`${root}/boot`).filter((name) => name.startsWith("vmlinuz"));
  const beside = ["lib/modules", "usr/lib/modules"].flatMap((modules) =>
    namesIn(`${root}/${modules}`).map((release) => `${root}/${modules}/${release}/vmlinuz`),
  );
  const paths = [...boot.map((name) => `${root}/boot/${name}`), ...beside.filter(exists)];
  paths.sort(newestFirst);
  return paths.map((path) => ({
    path,
    modules: path.endsWith("/vmlinuz") && !path.startsWith(`${root}/boot/`) ? dirname(path) : undefined,
    from,
  }));
}

/** How names end of what is being unpacked, or removed. */
export const TEMPORARY = ".tmp";

/** Packages that were unpacked, the newest first. */
export function namesOfKernels(directory: string): string[] {
  const whole = namesIn(directory).filter((name) => !name.endsWith(TEMPORARY) && !name.startsWith("."));
  return whole.sort(newestFirst);
}

function newestFirst(one: string, other: string): number {
  return other.localeCompare(one, "en", { numeric: true });
}

function downloaded(): Candidate[] {
  const directory = kernelsDirectory();
  return namesOfKernels(directory).flatMap((name) => kernelsBelow(`${directory}/${name}`, "downloaded"));
}

/** Those of the host: first the one that runs, for which users have rights and reasons. */
function ofHost(): Candidate[] {
  const running = readText("/proc/sys/kernel/osrelease").trim();
  const all = kernelsBelow("", "host");
  return [...all].sort(
    (one, other) => Number(other.path.includes(running)) - Number(one.path.includes(running)),
  );
}

/** The root directory that a kernel's file lies below, in /boot as a rule. */
function rootOf({ path, from }: Candidate): string {
  return from === "downloaded" ? path.slice(0, path.lastIndexOf("/boot/")) : "";
}

function kernelOf(candidate: Candidate): FoundKernel {
  const release = releaseOf(readBytes(candidate.path), candidate.path);
  const modules = new ModuleDirectory(candidate.modules ?? modulesOf(rootOf(candidate), release));
  const missing = GUEST_MODULES.filter(
    (name) => modules.find(name) === undefined && !modules.isBuiltIn(name),
  );
  if (missing.length > 0)
    throw new HakoError({
      code: "unsupported",
      message: `${candidate.path} lacks ${missing.join(", ")}, and so do the modules in ${modules.path}`,
    });
  return { path: candidate.path, release, modules, from: candidate.from };
}

function modulesOf(root: string, release: string): string {
  const places = [`${root}/lib/modules/${release}`, `${root}/usr/lib/modules/${release}`];
  return places.find(exists) ?? `${root}/lib/modules/${release}`;
}

/**
 * A kernel for guests: the one of the settings, else one that was downloaded, else one of the host's, the first that has what guests need.
 */
export function findKernel(given: {
  kernel?: string | undefined;
  modules?: string | undefined;
}): FoundKernel {
  const { kernel: path, modules } = given;
  if (path !== undefined)
    return during(`${SETTINGS_FILE}: /machine/kernel`, () => kernelOf({ path, modules, from: "settings" }));
  const reasons: string[] = [];
  for (const candidate of [...downloaded(), ...ofHost()]) {
    try {
      return kernelOf(candidate);
    } catch (error) {
      reasons.push(asHakoError(error).reason);
    }
  }
  throw new HakoError({
    code: "unsupported",
    message: ["no kernel for machines", ...reasons].join(": "),
    hint:
      downloadablePackages().length > 0
        ? "hako machine setup --download fetches one and installs nothing"
        : installLine("kernel"),
  });
}
