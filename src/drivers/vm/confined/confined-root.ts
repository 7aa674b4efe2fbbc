import { AT, MNT, MS } from "../../../linux/call/constants";
import type { Step } from "../../../linux/call/step";
import { statusAt } from "../../../linux/file/file";
import { dirname, isAtOrBelow } from "../../../linux/file/path-text";
import { ATTR } from "../../../linux/mount/mount-calls";
import { privateTreeStep } from "../../../linux/mount/mount-steps";
import { NAMESPACE_FLAGS } from "../../../linux/process/namespace";

/** Where trees of containers are, each under a name of its own. */
export const TREES = "/trees";
/** Covered meanwhile by what becomes the root: nothing that a program needs is below. */
const PLACE = "/proc";
const [S_IFREG, S_IFDIR] = [0o100000, 0o040000];
const [MS_NOSUID, MS_NODEV, MS_NOEXEC] = [2, 4, 8];
const PLAIN = MS_NOSUID | MS_NODEV | MS_NOEXEC;

/** What there is in a confined process's root directory. */
export interface ConfinedRoot {
  /** Files and directories of the host, at the paths that they have there, and only to be read. */
  files: readonly string[];
  devices: readonly string[];
  /** Whether it has a place for trees. */
  trees: boolean;
}

/** Steps of a process in a mount namespace of its own to a root directory that has nothing but this, and a procfs of its pid namespace. */
export function rootSteps({ files, devices, trees }: ConfinedRoot): Step[] {
  const tops = withoutInner(files);
  const places = [...tops, ...devices, "/proc/self", ...(trees ? [`${TREES}/any`] : [])];
  return [
    privateTreeStep(),
    { what: "umask", call: "umask", args: [0o022] },
    mountStep("tmpfs", PLACE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m"),
    ...directoriesAbove(places).map((path) => makeStep(path, S_IFDIR)),
    ...tops.flatMap(bindSteps),
    ...devices.map((path) => makeStep(path, S_IFREG)),
    readOnlyStep(),
    // a device is none where its mount says so
    ...devices.map(bindStep),
    mountStep("proc", inPlace("/proc"), "proc", PLAIN, ""),
    ...(trees ? [mountStep("tmpfs", inPlace(TREES), "tmpfs", PLAIN, "mode=755,size=1m,nr_inodes=4k")] : []),
    { what: `chdir ${PLACE}`, call: "chdir", args: [PLACE] },
    { what: "pivot_root", call: "pivot_root", args: [".", "."] },
    // the one that was the root lies over the new one
    { what: "umount2 of the host's files", call: "umount2", args: [".", MNT.DETACH] },
    { what: "chdir /", call: "chdir", args: ["/"] },
  ];
}

function inPlace(path: string): string {
  return `${PLACE}${path}`;
}

/** Paths of which none is below another. */
export function withoutInner(paths: readonly string[]): string[] {
  const sorted = [...new Set(paths)].sort((one, other) => one.length - other.length);
  return sorted.filter((path, index) => !sorted.slice(0, index).some((top) => isAtOrBelow(path, top)));
}

/** All directories that paths are in, each after those that it is in itself. */
export function directoriesAbove(paths: readonly string[]): string[] {
  const found = new Set<string>();
  for (const path of paths)
    for (let above = dirname(path); above !== "/"; above = dirname(above)) found.add(above);
  return [...found].sort((one, other) => one.length - other.length);
}

function bindSteps(path: string): Step[] {
  const isDirectory = statusAt(path)?.type === "directory";
  return [makeStep(path, isDirectory ? S_IFDIR : S_IFREG), bindStep(path)];
}

function makeStep(path: string, type: number): Step {
  return type === S_IFDIR
    ? { what: `mkdir ${path}`, call: "mkdirat", args: [AT.FDCWD, inPlace(path), 0o755] }
    : { what: `mknod ${path}`, call: "mknodat", args: [AT.FDCWD, inPlace(path), S_IFREG | 0o444, 0] };
}

function bindStep(path: string): Step {
  return mountStep(path, inPlace(path), "none", MS.BIND | MS.REC, "");
}

function mountStep(source: string, target: string, type: string, flags: number, options: string): Step {
  return {
    what: `mount ${source} on ${target}`,
    call: "mount",
    args: [source, target, type, flags, options],
  };
}

/** All that is mounted so far. */
function readOnlyStep(): Step {
  const attributes = new BigUint64Array([BigInt(ATTR.RDONLY | ATTR.NOSUID | ATTR.NODEV), 0n, 0n, 0n]);
  return {
    what: "mount_setattr of the files that it has",
    call: "mount_setattr",
    args: [AT.FDCWD, PLACE, AT.RECURSIVE, attributes, attributes.byteLength],
  };
}

/** What a confined process has of its own, beside its user namespace. */
export const CONFINED_NAMESPACES =
  NAMESPACE_FLAGS.mount |
  NAMESPACE_FLAGS.pid |
  NAMESPACE_FLAGS.network |
  NAMESPACE_FLAGS.ipc |
  NAMESPACE_FLAGS.uts |
  NAMESPACE_FLAGS.cgroup;
