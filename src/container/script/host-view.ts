import type { OverlayRoot } from "../../drivers/interface/driver";
import { ACCESS } from "../../linux/call/constants";
import { callerVariable } from "../../linux/file/caller-environment";
import {
  checkAccess,
  directoryEntries,
  exists,
  hasErrno,
  linkText,
  realPath,
  statusAt,
} from "../../linux/file/file";
import { isAtOrBelow } from "../../linux/file/path-text";
import { workingDirectory } from "../../linux/file/working-directory";
import { readMountinfo, visibleMounts } from "../../linux/mount/mountinfo";
import { effectiveUser } from "../../linux/process/rootless";
import type { Config, Mount } from "../../oci/config";
import type { EnvironmentLine } from "../../oci/environment";
import { logWarning } from "../../output/log";
import { homeIn } from "../user";
import { type Host, hostLayout } from "./host-layout";
import type { OrderedMount } from "./mount-order";

/** Where everybody may write, and where the host's services have their sockets. */
const MEMORY = ["/tmp", "/var/tmp", "/run", "/var/run"];

/** The host's tree for the program of an ordinary user. */
export interface HostView {
  overlay: Pick<OverlayRoot, "writes" | "places">;
  env: EnvironmentLine[];
  /** Places that can be written, without those that the container's own mounts cover. */
  below: string[];
}

/** The tree for a program that starts in `workdir`, and has these mounts. Places that were `written` before are so again. */
export function hostView(
  workdir: string,
  mounts: readonly OrderedMount[],
  written: readonly string[] = [],
): HostView {
  const uid = effectiveUser();
  const home = homeOf(uid);
  const memory = directories(MEMORY).filter((path) => path !== "/");
  const points = mounts.map(({ place }) => place);
  const { places, warnings } = hostLayout(thisHost(uid), {
    memory: memory.filter((path) => !isIn(path, memory)),
    own: directories([workdir, callersDirectory(), home, ...written]),
    points: points.filter((path) => !isIn(path, points)),
  });
  for (const warning of warnings) logWarning(warning);
  const isOwn = (path: string) => mounts.some(({ place }) => isAtOrBelow(path, place));
  return {
    overlay: { writes: undefined, places },
    env: [`HOME=${isIn(home, memory) ? (realDirectory(home) ?? home) : home}`],
    below: places.map(({ path }) => path).filter((path) => !isOwn(path)),
  };
}

/**
 * The usual mounts. Where the container has a network of its own, a sysfs of its own shows that one, and not the host's. A host without a /sys has
 * no cgroups to show.
 */
export function usualMounts({ mounts = [] }: Config): Mount[] {
  const shown = mounts.filter(({ type, destination }) => type !== "cgroup" || exists(destination));
  return shown.map((mount) =>
    mount.destination === "/sys"
      ? {
          ...mount,
          type: "sysfs",
          source: "sysfs",
          options: mount.options?.filter((word) => word !== "rbind"),
        }
      : mount,
  );
}

/** Where hako was called; "/" where that was deleted. */
function callersDirectory(): string {
  try {
    return workingDirectory();
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return "/";
    throw error;
  }
}

/** The caller's, as outside: a shell's ~ is that. */
function homeOf(uid: number): string {
  const told = callerVariable("HOME");
  return told?.startsWith("/") === true ? told : homeIn("/", uid);
}

function thisHost(uid: number): Host {
  const mounts = visibleMounts(readMountinfo());
  return { uid, mounts, statusOf, isOpen, entriesOf };
}

function statusOf(path: string): ReturnType<Host["statusOf"]> {
  return unlessDenied(() => statusAt(path, false));
}

function isOpen(path: string): boolean {
  const open = unlessDenied(() => {
    checkAccess(path, ACCESS.X_OK);
    return true;
  });
  return open === true;
}

function entriesOf(path: string): ReturnType<Host["entriesOf"]> {
  return unlessDenied(() =>
    directoryEntries(path).map(({ name, type }) => ({
      name,
      type,
      target: type === "symlink" ? linkText(`${path}/${name}`) : undefined,
    })),
  );
}

/** Those of these paths that are directories, without links, each once. */
function directories(paths: readonly string[]): string[] {
  const found = new Set<string>();
  for (const path of paths) {
    const real = realDirectory(path);
    if (real !== undefined) found.add(real);
  }
  return [...found];
}

function isIn(path: string, places: readonly string[]): boolean {
  return places.some((other) => other !== path && isAtOrBelow(path, other));
}

/** The path without links of a directory; undefined where none is, or none that this user may look at. */
function realDirectory(path: string): string | undefined {
  return unlessDenied(() => {
    if (statusAt(path)?.type !== "directory") return undefined;
    return realPath(path);
  });
}

function unlessDenied<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (hasErrno(error, "EACCES", "ELOOP", "ENAMETOOLONG")) return undefined;
    throw error;
  }
}
