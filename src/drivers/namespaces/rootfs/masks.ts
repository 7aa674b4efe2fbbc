import { during } from "../../../base/errors";
import { O } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import { systemError } from "../../../linux/call/syscall";
import { openIfThere, openInRoot } from "../../../linux/file/path";
import { cleanPath } from "../../../linux/file/path-text";
import { fileStatusOf, openPlaceOf } from "../../../linux/file/stat";
import { type Filesystem, newFilesystem } from "../../../linux/mount/filesystem";
import { ATTR, attachTree, cloneTree, setMountAttributes } from "../../../linux/mount/mount-calls";

/** What is over masked directories. */
export const EMPTY_DIRECTORY: Filesystem = {
  type: "tmpfs",
  source: "tmpfs",
  options: ["nr_blocks=1", "nr_inodes=1"],
  attributes: ATTR.RDONLY | ATTR.NOSUID | ATTR.NODEV | ATTR.NOEXEC,
};

/** linux.readonlyPaths that are not done: a mount that is there is made read-only; anything else is bound on itself first. */
export function readonlyPaths(root: Fd, paths: readonly string[], isDone: (path: string) => boolean): void {
  if (paths.every(isDone)) return;
  const ofRoot = openPlaceOf(root).name;
  paths.forEach((path, index) => {
    if (isDone(path)) return;
    during(`config /linux/readonlyPaths/${index}: make ${path} read-only`, () => {
      using target = openIfThere(root, path, O.PATH);
      if (target === undefined) return;
      // what is mounted over our root is not what we have as our root
      const { name, mountRoot } = openPlaceOf(target);
      if (name === ofRoot) {
        setMountAttributes("/", { set: ATTR.RDONLY });
        return;
      }
      // a read-only one over it would leave the other below, to whoever may unmount
      if (mountRoot) {
        setMountAttributes(target, { set: ATTR.RDONLY });
        return;
      }
      using tree = cloneTree(target, true);
      setMountAttributes(tree, { set: ATTR.RDONLY });
      attachTree(tree, target);
    });
  });
}

/** The container's /dev/null, which must be that device and no link to something else (CVE-2025-31133). */
function openDevNull(root: Fd): Fd {
  const fd = openInRoot(root, "/dev/null", O.PATH | O.NOFOLLOW);
  const { type, major, minor } = fileStatusOf(fd);
  if (type === "character" && major === 1 && minor === 3) return fd;
  fd.close();
  throw systemError("open", "EPERM", "/dev/null", "it is not the character device 1:3");
}

/** linux.maskedPaths that are not done: over files the null device, over directories one empty read-only tmpfs. */
export function maskPaths(root: Fd, paths: readonly string[], isDone: (path: string) => boolean): void {
  let empty: Fd | undefined;
  let devNull: Fd | undefined;
  const done = new Set<string>();
  paths.forEach((path, index) => {
    if (isDone(path)) return;
    during(`config /linux/maskedPaths/${index}: mask ${path}`, () => {
      using target = openIfThere(root, path, O.PATH);
      if (target === undefined || done.has(cleanPath(path))) return;
      done.add(cleanPath(path));
      if (fileStatusOf(target).type === "directory") {
        // The first one's tmpfs serves them all: a superblock for each is slow
        const tree = empty === undefined ? newFilesystem(EMPTY_DIRECTORY) : cloneTree(empty, false);
        attachTree(tree, target);
        if (empty === undefined) empty = tree;
        else tree.close();
        return;
      }
      devNull ??= openDevNull(root);
      using tree = cloneTree(devNull, false);
      attachTree(tree, target);
    });
  });
  empty?.close();
  devNull?.close();
}
