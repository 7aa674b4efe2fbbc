import type { OverlayRoot } from "../../drivers/interface/driver";
import { textOf } from "../../linux/call/bytes";
import { ACCESS } from "../../linux/call/constants";
import { callerVariable } from "../../linux/file/caller-environment";
import {
  checkAccess,
  directoryEntries,
  exists,
  hasErrno,
  linkText,
  listNames,
  readOrdinaryFile,
  realPath,
  statusAt,
  unlessDenied,
} from "../../linux/file/file";
import { isAtOrBelow, join } from "../../linux/file/path-text";
import { workingDirectory } from "../../linux/file/working-directory";
import { readMountinfo, visibleMounts } from "../../linux/mount/mountinfo";
import { effectiveUser } from "../../linux/process/rootless";
import type { Config, Mount } from "../../oci/config";
import type { EnvironmentLine } from "../../oci/environment";
import { logWarning } from "../../output/log";
import { COPY } from "../../state/root";
import { homeIn } from "../user";
import { type Host, hostLayout } from "./host-layout";
import { type OrderedMount, type OwnFile, type OwnFiles, ownFiles } from "./mount-order";

/** S_IWGRP and S_IWOTH. */
const OTHERS_WRITE = 0o22;

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

/**
 * Settings of ssh(1) in files of their own, as distributions have some: it takes them from root and its user alone (SSHCONF_CHECKPERM in readconf.c),
 * and whoever has no id but an own one sees root's files as nobody's. The container has the same ones as files of its user's.
 */
const SSH_SETTINGS = "/etc/ssh/ssh_config.d";
/** Others don't make a program refuse its work where they are longer, and it then says so. */
const MOST_SETTINGS = 64 * 1024;

/** Files of root's that the program's user has to own, made in the container's own directory. */
export function ownedCopies(directory: string): OwnFiles {
  const names = listed(SSH_SETTINGS).filter((name) => name.endsWith(".conf"));
  const files = names.flatMap((name, index): OwnFile[] => {
    const path = join(SSH_SETTINGS, name);
    const status = statusOf(path, true);
    const isTaken = status?.type === "file" && status.uid === 0 && (status.mode & OTHERS_WRITE) === 0;
    const bytes = isTaken ? readOrdinaryFile(realPath(path), MOST_SETTINGS) : undefined;
    return bytes === undefined ? [] : [{ name: `${COPY}${index}`, text: textOf(bytes), places: [path] }];
  });
  return ownFiles(directory, files);
}

function listed(path: string): string[] {
  try {
    return listNames(path);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "EACCES", "ENOTDIR")) return [];
    throw error;
  }
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
  return { uid, mounts, statusOf: (path) => statusOf(path), isOpen, entriesOf };
}

function statusOf(path: string, follow = false): ReturnType<Host["statusOf"]> {
  return unlessDenied(() => statusAt(path, follow));
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
