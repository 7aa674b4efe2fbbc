import { O, RESOLVE } from "../../../linux/call/constants";
import type { Step } from "../../../linux/call/step";
import { walkSteps } from "../../../linux/call/walk";
import { cleanPath } from "../../../linux/file/path-text";
import { type Filesystem, fitsFsconfig, newFilesystemSteps } from "../../../linux/mount/filesystem";
import { ATTR } from "../../../linux/mount/mount-calls";
import { attachStep, attributeStep } from "../../../linux/mount/mount-steps";
import { closeNumberStep, freeNumbers } from "../../../linux/steps/known-numbers";
import type { Mount } from "../../../oci/config";
import { planOf } from "../../../oci/mount-options";
import { specifiedFilesystem } from "./mount-filesystem";
import type { RootfsWork } from "./rootfs-work";

/** What is mounted anew in most containers: by each path the types of which it may be. Below /dev it is in the new one. */
const USUAL: Readonly<Record<string, readonly string[]>> = {
  "/proc": ["proc"],
  "/sys": ["sysfs"],
  "/dev": ["tmpfs"],
  "/dev/pts": ["devpts"],
  "/dev/shm": ["tmpfs"],
  "/dev/mqueue": ["mqueue"],
};

/**
 * Mounts the first of /mounts, as far as they are usual ones, by one walk of a process of one thread, to which each answer is dear; how many. The
 * walk ends where something is not as it should be: that one and the rest are left to those who mount one by one, and say why.
 */
export function mountAtOnce(work: RootfsWork): number {
  const { mounts = [] } = work.context.config;
  const numbers = freeNumbers(work.root, 3);
  const close = numbers.map(closeNumberStep);
  const steps = [...close];
  /** Behind which step each is done. */
  const ends: number[] = [];
  const done = new Set<string>();
  for (const [index, mount] of mounts.entries()) {
    const path = cleanPath(mount.destination);
    const filesystem = done.has(path) ? undefined : usualFilesystem(work, mount, index, path);
    const above = path.startsWith("/dev/") ? "/dev" : "/";
    if (filesystem === undefined || (above === "/dev" && !done.has(above))) break;
    steps.push(...mountSteps(work, filesystem, path, above, numbers), ...close);
    ends.push(steps.length);
    done.add(path);
  }
  const [made] = walkSteps(steps);
  if (made < steps.length) walkSteps(close);
  return ends.filter((end) => end <= made).length;
}

interface Usual extends Filesystem {
  /** ATTR bits that the mount is to have. */
  set: number;
}

/** The new file system that a mount asks for; undefined for one that needs more than these steps. */
function usualFilesystem(
  { context }: RootfsWork,
  mount: Mount,
  index: number,
  path: string,
): Usual | undefined {
  const { type = "" } = mount;
  if (USUAL[path]?.includes(type) !== true) return undefined;
  const plan = planOf(mount.options ?? []);
  const { bind, remount, copyUp, idMap, own, recursive, propagation } = plan;
  const isPlain =
    bind === undefined && !remount && !copyUp && idMap === undefined && propagation.length === 0;
  if (!isPlain || recursive.set !== 0 || recursive.clear !== 0) return undefined;
  // a tmpfs is read-only when all in it is made, and has the mode of what it covers
  if (type === "tmpfs" && ((own.set & ATTR.RDONLY) !== 0 || !plan.data.some(isMode))) return undefined;
  if (context.mappedMounts.has(index) || context.begunProcfs.has(index) || context.pidNamespace !== undefined)
    return undefined;
  const filesystem = specifiedFilesystem(context.config, mount, plan);
  return fitsFsconfig(filesystem) ? { ...filesystem, set: own.set } : undefined;
}

function isMode(option: string): boolean {
  return option.startsWith("mode=");
}

/** A file system on a name in the root directory, or on a new directory in the container's own /dev. Nothing on the way may be a link. */
function mountSteps(
  { root }: RootfsWork,
  filesystem: Usual,
  path: string,
  above: string,
  [first = -1, second = -1, third = -1]: readonly number[],
): Step[] {
  const name = path.slice(above === "/" ? 1 : above.length + 1);
  const resolve = RESOLVE.IN_ROOT | RESOLVE.NO_SYMLINKS;
  const how = new Int32Array([O.PATH | O.DIRECTORY | O.CLOEXEC, 0, 0, 0, resolve, 0]);
  return [
    {
      what: `open ${above}`,
      call: "openat2",
      args: [root.number, above, how, how.byteLength],
      success: { exactly: first },
    },
    ...(above === "/" ? [] : [makeStep(first, name)]),
    ...newFilesystemSteps(filesystem, second, third),
    ...(filesystem.set === 0 ? [] : [attributeStep(third, filesystem.set)]),
    attachStep(third, first, name),
  ];
}

function makeStep(directory: number, name: string): Step {
  return { what: `mkdir ${name}`, call: "mkdirat", args: [directory, name, 0o755] };
}
