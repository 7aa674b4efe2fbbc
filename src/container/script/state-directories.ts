import { exists, makeDirectories, realPath } from "../../linux/file/file";
import { basename, dirname, isAtOrBelow, join, resolve } from "../../linux/file/path-text";
import { defaultRoot, filterCacheDirectory } from "../../state/user-root";

/** A directory of the host's, without links, that a program is shown. */
export interface ShownDirectory {
  path: string;
  writable: boolean;
  /** It is the root file system, which may lie in a state directory; nothing else of that is shown then. */
  isRoot?: boolean;
}

/**
 * hako's own directories, absolute and without links, in what a program is shown: who writes there says what hako executes, and who connects to a
 * socket there what a network's rules are. One that is missing where the program writes is made, or the program could. `root` is the state directory.
 */
export function shownStateDirectories(root: string, shown: readonly ShownDirectory[]): string[] {
  const all = [root, defaultRoot(), filterCacheDirectory()].map((path) => realAsFarAsThere(resolve(path)));
  return [...new Set(all)].filter((path) => {
    if (shown.some((top) => top.writable && isAtOrBelow(path, top.path))) makeDirectories(path, 0o700);
    const isShown = (top: ShownDirectory) =>
      isAtOrBelow(path, top.path) || (top.isRoot !== true && isAtOrBelow(top.path, path));
    return exists(path) && shown.some(isShown);
  });
}

function realAsFarAsThere(path: string): string {
  return exists(path) || path === "/"
    ? realPath(path)
    : join(realAsFarAsThere(dirname(path)), basename(path));
}
