import { O } from "../../linux/call/constants";
import { Fd } from "../../linux/call/fd";
import { syscallOn } from "../../linux/call/syscall";
import { directoryNames, tryRemoveDirectory } from "../../linux/file/file";
import { openAt, openToLook } from "../../linux/file/path";
import { inSight } from "./files";

/**
 * Cgroups below a cgroup.
 *
 * A container that may make cgroups chooses their names, which may be any bytes, and their depth, which may be greater than a path can
 * be long (PATH_MAX) and than there are descriptors. So each cgroup is opened from the one above it.
 */

interface Visitor {
  /** Called with a cgroup, the first one too, before those below it. The path is good for the cgroup's files, until `enter` returns. */
  enter?: (path: string) => void;
  /** Called with a cgroup below the first one, after all below that: its name in the cgroup above. */
  leave?: (above: Fd, name: Uint8Array) => void;
}

interface Level {
  /** The name of the cgroup in the one above it. */
  name: Uint8Array;
  /** The cgroups below it that have not been visited yet. */
  rest: Uint8Array[];
}

/** Visits a cgroup and all below it. Cgroups that are removed meanwhile, and those that this user may not look into, are left out. */
export function walkTree(top: string, { enter, leave }: Visitor): void {
  let here = openToLook(top);
  if (here === undefined) return;
  const above: Level[] = [];
  let level: Level = { name: new Uint8Array(), rest: namesBelow(here) };
  try {
    enter?.(here.path);
    for (;;) {
      const name = level.rest.pop();
      if (name !== undefined) {
        const below = openBelow(here, name);
        if (below === undefined) continue;
        here.close();
        here = below;
        enter?.(here.path);
        above.push(level);
        level = { name, rest: namesBelow(here) };
        continue;
      }
      const last = above.pop();
      if (last === undefined) return;
      // a cgroup is never moved, so ".." is the one that it was entered from
      const up = openAt(here, "..", O.PATH | O.DIRECTORY);
      here.close();
      here = up;
      leave?.(here, level.name);
      level = last;
    }
  } finally {
    here.close();
  }
}

function openBelow(above: Fd, name: Uint8Array): Fd | undefined {
  const flags = O.PATH | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC;
  return inSight(() => new Fd(syscallOn(above.path, "openat", above.number, name, flags, 0), "cgroup"));
}

function namesBelow(cgroup: Fd): Uint8Array[] {
  return inSight(() => directoryNames(cgroup.path)) ?? [];
}

/** All that `look` finds in a cgroup and in those below it. */
export function inTree<T>(top: string, look: (path: string) => readonly T[]): T[] {
  const found: T[] = [];
  walkTree(top, { enter: (path) => found.push(...look(path)) });
  return found;
}

/** Removes the cgroups below a cgroup, but for busy ones. False if nothing was removed. */
export function removeBelow(top: string): boolean {
  let removed = false;
  walkTree(top, {
    leave(above, name) {
      if (tryRemoveDirectory(above, name)) removed = true;
    },
  });
  return removed;
}
