import { cleanPath, isAtOrBelow } from "../../linux/file/path-text";
import type { MountEntry } from "../../linux/mount/mountinfo";

/** The paths of the host at which a file of a file system is, by what is mounted where. */
export function pathsOfFile(path: string, mounts: readonly MountEntry[]): string[] {
  const on = mountOf(path, mounts);
  if (on === undefined) return [path];
  const inside = moved(path, on.mountpoint, on.root);
  const found = mounts
    .filter(({ device, root }) => device === on.device && isAtOrBelow(inside, root))
    .map((mount) => ({ mount, at: moved(inside, mount.root, mount.mountpoint) }))
    .filter(({ mount, at }) => mountOf(at, mounts) === mount)
    .map(({ at }) => at);
  return [...new Set([path, ...found])];
}

function mountOf(path: string, mounts: readonly MountEntry[]): MountEntry | undefined {
  let best: MountEntry | undefined;
  for (const each of mounts) {
    // of those at one place the last one is on top
    if (best !== undefined && best.mountpoint.length > each.mountpoint.length) continue;
    if (isAtOrBelow(path, each.mountpoint)) best = each;
  }
  return best;
}

/** A path at or below one directory as it is below another. */
export function moved(path: string, from: string, to: string): string {
  return cleanPath(`${to}/${path.slice(from === "/" ? 0 : from.length)}`);
}
