import { actHere } from "../../../linux/call/actor";
import { AT, O, OPEN_TREE, RESOLVE } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { walkSteps } from "../../../linux/call/walk";
import { statusAt } from "../../../linux/file/file";
import { cleanPath, components, isAtOrBelow } from "../../../linux/file/path-text";
import { newFilesystemSteps } from "../../../linux/mount/filesystem";
import { ATTR } from "../../../linux/mount/mount-calls";
import { attachStep, attributeStep } from "../../../linux/mount/mount-steps";
import { closeNumberStep, freeNumbers } from "../../../linux/steps/known-numbers";
import type { Config } from "../../../oci/config";
import { ownsDev } from "./devices";
import { EMPTY_DIRECTORY } from "./masks";

/**
 * linux.readonlyPaths and linux.maskedPaths by one walk of a process of one thread, to which each answer is dear. What is there is known from
 * hako's own /proc and /sys, which the same kernel has filled; the walk ends where it is otherwise in the container. The result tells which paths
 * are done: others have to be done one by one, which may be done over what is done already (masks.ts).
 */
export function narrowAtOnce(root: Fd, config: Config): (path: string) => boolean {
  const { readonlyPaths = [], maskedPaths = [] } = config.linux ?? {};
  const isUsual = usualPaths(config);
  const readonly = [...new Set(readonlyPaths.filter(isUsual).map(cleanPath))];
  const masked = [...new Set(maskedPaths.filter(isUsual).map(cleanPath))];
  const types = actHere(() => new Map([...readonly, ...masked].map((path) => [path, typeAt(path)])));
  const [first = -1, second = -1, third = -1] = freeNumbers(root, 3);
  const close = [first, second, third].map(closeNumberStep);
  const open = (path: string, number: number) => openStep(root, path, { exactly: number });
  const cover = (path: string, place: number, mask: number) => [
    open(path, place),
    cloneAtStep(mask, third, 0),
    attachStep(third, place, ""),
    closeNumberStep(third),
    closeNumberStep(place),
  ];
  const isDirectory = (path: string) => types.get(path) === "directory";
  const files = masked.filter((path) => types.get(path) !== undefined && !isDirectory(path));
  const directories = masked.filter(isDirectory);
  const steps: Step[] = [
    ...close,
    ...[...types].flatMap(([path, type]) =>
      type === undefined ? [openStep(root, path, { only: "ENOENT" })] : [],
    ),
    ...readonly
      .filter((path) => types.get(path) !== undefined)
      .flatMap((path) => [
        open(path, first),
        cloneAtStep(first, second, AT.RECURSIVE),
        attributeStep(second, ATTR.RDONLY),
        attachStep(second, first, ""),
        ...close,
      ]),
    // one empty file system for all of them
    ...(directories.length === 0
      ? []
      : [...newFilesystemSteps(EMPTY_DIRECTORY, first, second), closeNumberStep(first)]),
    ...directories.flatMap((path) => cover(path, first, second)),
    ...close,
    ...(files.length === 0 ? [] : [openStep(root, "/dev/null", { exactly: first }, O.NOFOLLOW)]),
    ...files.flatMap((path) => cover(path, second, first)),
    ...close,
  ];
  if (walkSteps(steps)[0] === steps.length) return isUsual;
  walkSteps(close);
  return () => false;
}

/** Whether a path is in a file system of the kernel's that is new, and nothing else is mounted there; and /dev/null is the container's own. */
function usualPaths(config: Config): (path: string) => boolean {
  const mounts = (config.mounts ?? []).map(({ destination, type }) => ({ at: cleanPath(destination), type }));
  const isNew = (top: string, type: string) =>
    mounts.some((mount) => mount.at === top && mount.type === type);
  const tops = [isNew("/proc", "proc") ? "/proc" : undefined, isNew("/sys", "sysfs") ? "/sys" : undefined];
  const isAlone = (path: string) =>
    mounts.every(({ at }) => tops.includes(at) || (!isAtOrBelow(at, path) && !isAtOrBelow(path, at)));
  const isBelowTop = (path: string) => tops.some((top) => top !== undefined && path.startsWith(`${top}/`));
  const own = ownsDev(config);
  return (path) => {
    const clean = cleanPath(path);
    // what is above a link's target is not what is above the link
    return own && !components(path).includes("..") && isBelowTop(clean) && isAlone(clean);
  };
}

function typeAt(path: string): string | undefined {
  return statusAt(path)?.type;
}

function openStep(root: Fd, path: string, success: Step["success"] & object, flags = 0): Step {
  const resolve = RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS;
  const how = new Int32Array([O.PATH | O.CLOEXEC | flags, 0, 0, 0, resolve, 0]);
  return { what: `open ${path}`, call: "openat2", args: [root.number, path, how, how.byteLength], success };
}

function cloneAtStep(from: number, number: number, flags: number): Step {
  const all = OPEN_TREE.CLONE | O.CLOEXEC | AT.EMPTY_PATH | flags;
  return { what: "open_tree", call: "open_tree", args: [from, "", all], success: { exactly: number } };
}
