import { O } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import { syscall, syscallOn } from "../../../linux/call/syscall";
import { hasErrno } from "../../../linux/file/file";
import { makeLinkAt, setMode } from "../../../linux/file/file-at";
import {
  createFileInRoot,
  makeDirectoryAt,
  mkdirAllInRoot,
  mkdirAt,
  openAt,
  openInRoot,
} from "../../../linux/file/path";
import { fileStatusOf } from "../../../linux/file/stat";
import { newFilesystem } from "../../../linux/mount/filesystem";
import { ATTR, attachTree, cloneTree, setMountAttributes } from "../../../linux/mount/mount-calls";
import { logWarning } from "../../../output/log";
import type { HostPlace } from "../../interface/driver";

/** setuid programs and devices of the user's own files are nothing there; what the kernel has locked stays as it is. */
const READ_ONLY = { set: ATTR.RDONLY | ATTR.NOSUID, propagation: "private", recursive: true } as const;

/**
 * Mounts the host's tree on a directory, for an ordinary user: all of it read-only, with what is mounted in it, and its places as they are
 * wanted. Nothing that the host mounts later appears. The result is the tree's root.
 */
export function mountHostTree(directory: string, places: readonly HostPlace[]): Fd {
  const umask = syscall("umask", 0);
  const root = cloneTree("/", true);
  setMountAttributes(root, READ_ONLY);
  using memory = newFilesystem({
    type: "tmpfs",
    source: "tmpfs",
    options: ["mode=755"],
    attributes: ATTR.NOSUID | ATTR.NODEV,
  });
  // an overlay takes its layers from what is mounted somewhere; out of sight, below the tree
  attachTree(memory, directory);
  attachTree(root, directory);
  const tree = new HostTree(root, memory);
  for (const place of places) tree.make(place);
  syscall("umask", umask);
  return tree.root;
}

class HostTree {
  #root: Fd;
  readonly #memory: Fd;
  #made = 0;
  #hasAttributes = false;

  constructor(root: Fd, memory: Fd) {
    this.#root = root;
    this.#memory = memory;
  }

  get root(): Fd {
    return this.#root;
  }

  make(place: HostPlace): void {
    if (place.kind === "memory") this.#remember(place);
    else if (place.kind === "read-only") this.#bind(place.path);
    else if (place.kind === "entries") this.#enter(place);
    else this.#write(place);
  }

  /** Where the kernel lays no overlay, the files are only read; or they are not shown. */
  #write(place: HostPlace & { kind: "overlay" }): void {
    try {
      this.#overlay(place);
    } catch (error) {
      if (!hasErrno(error, "EINVAL", "EPERM", "ELOOP", "ESTALE", "EOPNOTSUPP", "ENODEV")) throw error;
      if (place.otherwise === "memory") this.#remember(place);
      else {
        const why = (error as Error).message;
        logWarning(`${place.path} can't be written: the kernel lays no overlay over it: ${why}`);
        this.#bind(place.path);
      }
    }
  }

  /** A new directory in memory. */
  #directory(mode: number): Fd {
    const fd = mkdirAt(this.#memory, `${this.#made++}`, mode & 0o777);
    // mkdir(2) takes no other bits
    if (mode > 0o777) setMode(fd, mode);
    return fd;
  }

  #remember({ path, mode }: { path: string; mode: number }): void {
    using directory = this.#directory(mode);
    using tree = cloneTree(directory, false);
    this.#attach(tree, path);
  }

  #bind(path: string): void {
    using tree = cloneTree(path, true);
    setMountAttributes(tree, READ_ONLY);
    this.#attach(tree, path);
  }

  #overlay({ path, mode }: { path: string; mode: number }): void {
    this.#checkAttributes();
    using lower = openAt(undefined, path, O.PATH | O.DIRECTORY);
    using upper = this.#directory(mode);
    using work = this.#directory(0o755);
    using overlay = newFilesystem({
      type: "overlay",
      source: "overlay",
      // by descriptors, for which paths need no escapes and may be of any length
      options: [`lowerdir=${lower.path}`, `upperdir=${upper.path}`, `workdir=${work.path}`, "userxattr"],
      attributes: ATTR.NOSUID | ATTR.NODEV,
    });
    this.#attach(overlay, path);
  }

  /** An overlay notes in user.* attributes what is gone; a tmpfs has them since Linux 6.6. */
  #checkAttributes(): void {
    if (this.#hasAttributes) return;
    const { path } = this.#memory;
    syscallOn("memory before Linux 6.6", "setxattr", path, "user.overlay.hako", "", 0, 0);
    this.#hasAttributes = true;
  }

  #enter({ path, mode, names, links }: HostPlace & { kind: "entries" }): void {
    using hosts = openInRoot(this.#root, path, O.PATH | O.DIRECTORY);
    using directory = this.#directory(mode);
    const tree = cloneTree(directory, false);
    this.#attach(tree, path);
    for (const [name, target] of links) makeLinkAt(tree, name, target);
    for (const name of names) this.#bindEntry(hosts, tree, name);
    if (path !== "/") tree.close();
    else {
      this.#root.close();
      this.#root = tree;
    }
  }

  #bindEntry(hosts: Fd, tree: Fd, name: string): void {
    using entry = openAt(hosts, name, O.PATH | O.NOFOLLOW);
    using bound = cloneTree(entry, true);
    if (fileStatusOf(entry).type === "directory") makeDirectoryAt(tree, name, 0o755);
    else createFileInRoot(tree, name).close();
    attachTree(bound, tree, name);
  }

  #attach(tree: Fd, path: string): void {
    using place = mkdirAllInRoot(this.#root, path);
    attachTree(tree, place);
  }
}
