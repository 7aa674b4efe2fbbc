import { O } from "../../linux/call/constants";
import { Fd } from "../../linux/call/fd";
import { syscallOn } from "../../linux/call/syscall";
import { directoryNames, tryRemoveDirectory } from "../../linux/file/file";
import { openAt, openToLook } from "../../linux/file/path";
import { inSight } from "./files";

/**
 * Cgroups below others. A container that may make some chooses their names, which may be any bytes, and how deep they are: deeper
 * than a path goes (PATH_MAX), and than there are descriptors. So each is opened from the one above it.
 */

interface Visitor {
  /** A cgroup, the first one too, before those below it; its path is good for its files, and until this has returned. */
  enter?: (path: string) => void;
  /** A cgroup below the first one, after those below itself: its name in the one above. */
  leave?: (above: Fd, name: Uint8Array) => void;
}

interface Level {
  /** What the cgroup is called in the one above it. */
  name: Uint8Array;
  /** Those below it that are still to be visited. */
  rest: Uint8Array[];
}

/** Goes through a cgroup and all below it; those that are removed meanwhile, or that this user may not see, are left out. */
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
      // no cgroup ever gets another one above it
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

/** What `look` finds in a cgroup and in all below it. */
export function inTree<T>(top: string, look: (path: string) => readonly T[]): T[] {
  const found: T[] = [];
  walkTree(top, { enter: (path) => found.push(...look(path)) });
  return found;
}

/** Removes those below a cgroup that are not busy; false if there was none. */
export function removeBelow(top: string): boolean {
  let removed = false;
  walkTree(top, {
    leave(above, name) {
      if (tryRemoveDirectory(above, name)) removed = true;
    },
  });
  return removed;
}
