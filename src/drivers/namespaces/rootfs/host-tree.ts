import { during } from "../../../base/errors";
import { ACCESS, AT, O } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { perform, walkSteps } from "../../../linux/call/walk";
import { checkAccess, hasErrno } from "../../../linux/file/file";
import { makeLinkAt } from "../../../linux/file/file-at";
import {
  createFileInRoot,
  makeDirectoryAt,
  mkdirAllInRoot,
  openAt,
  openInRoot,
} from "../../../linux/file/path";
import { components, isAtOrBelow } from "../../../linux/file/path-text";
import { type FileStatus, fileStatusOf } from "../../../linux/file/stat";
import { type Filesystem, newFilesystem, newFilesystemSteps } from "../../../linux/mount/filesystem";
import { ATTR, attachTree, cloneTree, setMountAttributes } from "../../../linux/mount/mount-calls";
import { attachStep, cloneStep } from "../../../linux/mount/mount-steps";
import { closeNumberStep, freeNumbers } from "../../../linux/steps/known-numbers";
import { logWarning } from "../../../output/log";
import type { HostPlace, OverlayRoot } from "../../interface/driver";
import { copyEntry } from "./copy-up";
import { KEPT_OPTIONS } from "./overlay-root";

/** Without setuid programs, and without device nodes: to write to one is no change of its file system. */
const IN_MEMORY = ATTR.NOSUID | ATTR.NODEV;
const READ_ONLY = { set: ATTR.RDONLY | IN_MEMORY, propagation: "private", recursive: true } as const;

/**
 * Mounts the host's tree on a directory, for an ordinary user: all of it read-only, with what is mounted in it, and its places as they are
 * wanted. Nothing that the host mounts later appears. The result is the tree's root. Made by a process of one thread, to which each answer is
 * dear: so as many calls as can be are one walk, with numbers of descriptors that are known beforehand.
 */
export function mountHostTree(
  directory: string,
  places: readonly HostPlace[],
  layers?: OverlayRoot["layers"],
): Fd {
  const root = wholeTree();
  setMountAttributes(root, READ_ONLY);
  using memory = newFilesystem({
    type: "tmpfs",
    source: "tmpfs",
    options: ["mode=755"],
    attributes: IN_MEMORY,
  });
  // an overlay takes its layers from what is mounted somewhere; out of sight, below the tree
  attachTree(memory, directory);
  attachTree(root, directory);
  const tree = new HostTree(root, memory, layers);
  for (const place of places) tree.make(place);
  return tree.root;
}

/** Files that are directly in a directory with mounts are copied, to be written, as long as they are so many bytes in all. */
const MAY_COPY = 1 << 22;

function isReadable(entry: Fd): boolean {
  try {
    checkAccess(entry.path, ACCESS.R_OK);
    return true;
  } catch (error) {
    if (hasErrno(error, "EACCES")) return false;
    throw error;
  }
}

function wholeTree(): Fd {
  try {
    return cloneTree("/", true);
  } catch (error) {
    if (!hasErrno(error, "EPERM")) throw error;
    // a mount that is unbindable, and that this user namespace locks (copy_tree in fs/namespace.c)
    setMountAttributes("/", { propagation: "private", recursive: true });
    return cloneTree("/", true);
  }
}

type OverlayPlace = HostPlace & { kind: "overlay" };

class HostTree {
  #root: Fd;
  readonly #memory: Fd;
  /** Where writes to places are kept. */
  readonly #layers: OverlayRoot["layers"];
  /** Descriptors that are free. */
  #free: readonly [first: number, second: number, third: number];
  readonly #hiding: string[] = [];
  #made = 0;
  /** Who owns what is made here, as this process sees it. */
  #user: FileStatus | undefined;
  /** How many bytes of files may be copied. */
  #mayCopy = MAY_COPY;

  constructor(root: Fd, memory: Fd, layers: OverlayRoot["layers"]) {
    this.#root = root;
    this.#memory = memory;
    this.#layers = layers;
    this.#free = this.#findFree();
  }

  #findFree(): readonly [first: number, second: number, third: number] {
    const [first = -1, second = -1, third = -1] = freeNumbers(this.#root, 3);
    perform([first, second, third].map(closeNumberStep));
    return [first, second, third];
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
  #write(place: OverlayPlace): void {
    const layer = this.#layers?.get(place.path);
    if (layer !== undefined) {
      this.#keepWrites(place.path, layer);
      return;
    }
    const upper = this.#newName();
    const work = this.#newName();
    perform([...this.#directorySteps(upper, place.mode), ...this.#directorySteps(work, 0o755)]);
    const steps = this.#overlaySteps(place, upper, work);
    if (walkSteps(steps)[0] === steps.length) return;
    perform(this.#closeSteps());
    // again, to hear what the file system says
    try {
      this.#overlay(place, upper, work);
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

  /** What is written stays; so the program is not told that it is only read. */
  #keepWrites(path: string, layer: string): void {
    using lower = openAt(undefined, path, O.PATH | O.DIRECTORY);
    using upper = openAt(undefined, `${layer}/upper`, O.PATH | O.DIRECTORY);
    using work = openAt(undefined, `${layer}/work`, O.PATH | O.DIRECTORY);
    using overlay = during(`the changes of ${path}`, () =>
      newFilesystem({
        type: "overlay",
        source: "overlay",
        options: [
          `lowerdir=${lower.path}`,
          `upperdir=${upper.path}`,
          `workdir=${work.path}`,
          "userxattr",
          ...KEPT_OPTIONS,
        ],
        attributes: IN_MEMORY,
      }),
    );
    this.#attach(overlay, path);
  }

  #overlaySteps(place: OverlayPlace, upper: string, work: string): Step[] {
    const [lower, context, mount] = this.#free;
    const { path } = place;
    return [
      {
        what: `open ${path}`,
        call: "openat",
        args: [AT.FDCWD, path, O.PATH | O.DIRECTORY | O.CLOEXEC, 0],
        success: { exactly: lower },
      },
      ...newFilesystemSteps(this.#overlayOf(place, lower, upper, work), context, mount),
      ...this.#pointSteps(path),
      attachStep(mount, this.#root.number, path),
      ...this.#closeSteps(),
    ];
  }

  #overlay(place: OverlayPlace, upper: string, work: string): void {
    using lower = openAt(undefined, place.path, O.PATH | O.DIRECTORY);
    using overlay = newFilesystem(this.#overlayOf(place, lower.number, upper, work));
    this.#attach(overlay, place.path);
  }

  /** By descriptors, for which paths need no escapes and may be of any length. */
  #overlayOf({ readonly = false }: OverlayPlace, lower: number, upper: string, work: string): Filesystem {
    const { path } = this.#memory;
    return {
      type: "overlay",
      source: "overlay",
      options: [
        `lowerdir=/proc/self/fd/${lower}`,
        `upperdir=${path}/${upper}`,
        `workdir=${path}/${work}`,
        "userxattr",
      ],
      attributes: readonly ? IN_MEMORY | ATTR.RDONLY : IN_MEMORY,
    };
  }

  #remember({ path, mode }: { path: string; mode: number }): void {
    const name = this.#newName();
    const [first] = this.#free;
    perform([
      ...this.#directorySteps(name, mode),
      cloneStep(this.#memory, name, first),
      attachStep(first, this.#root.number, path),
      closeNumberStep(first),
    ]);
    this.#hiding.push(path);
  }

  #bind(path: string): void {
    using tree = cloneTree(path, true);
    setMountAttributes(tree, READ_ONLY);
    this.#attach(tree, path);
  }

  #enter({ path, mode, names, links }: HostPlace & { kind: "entries" }): void {
    const isHidden = this.#hiding.some((top) => isAtOrBelow(path, top));
    using hosts = isHidden
      ? openAt(undefined, path, O.PATH | O.DIRECTORY)
      : openInRoot(this.#root, path, O.PATH | O.DIRECTORY);
    const name = this.#newName();
    perform(this.#directorySteps(name, mode));
    using directory = openAt(this.#memory, name, O.PATH | O.DIRECTORY);
    const tree = cloneTree(directory, false);
    this.#attach(tree, path);
    for (const [link, target] of links) makeLinkAt(tree, link, target);
    for (const each of names) this.#bindEntry(hosts, tree, each, isHidden);
    if (path !== "/") tree.close();
    else {
      this.#root.close();
      this.#root = tree;
      this.#free = this.#findFree();
    }
  }

  /** `isHosts`: the entry is of the host's own mounts, not of those that are only read. */
  #bindEntry(hosts: Fd, tree: Fd, name: string, isHosts: boolean): void {
    using entry = openAt(hosts, name, O.PATH | O.NOFOLLOW);
    const { type, size, uid, gid } = fileStatusOf(entry);
    // in memory all is the user's
    this.#user ??= fileStatusOf(this.#memory);
    const own = uid === this.#user.uid && gid === this.#user.gid;
    if (type === "file" && own && size <= this.#mayCopy && isReadable(entry)) {
      copyEntry(hosts, entry, tree, name);
      this.#mayCopy -= size;
      return;
    }
    using bound = cloneTree(entry, true);
    if (isHosts) setMountAttributes(bound, READ_ONLY);
    if (type === "directory") makeDirectoryAt(tree, name, 0o755);
    else createFileInRoot(tree, name).close();
    attachTree(bound, tree, name);
  }

  #attach(tree: Fd, path: string): void {
    using place = mkdirAllInRoot(this.#root, path);
    attachTree(tree, place);
  }

  #newName(): string {
    return `${this.#made++}`;
  }

  /** A new directory in memory, whatever the umask is. */
  #directorySteps(name: string, mode: number): Step[] {
    const { number } = this.#memory;
    return [
      { what: "mkdir in memory", call: "mkdirat", args: [number, name, mode] },
      { what: "chmod in memory", call: "fchmodat", args: [number, name, mode] },
    ];
  }

  /** What of a mount point memory has hidden; it may be there already. */
  #pointSteps(path: string): Step[] {
    const above = this.#hiding.filter((top) => isAtOrBelow(path, top)).pop();
    if (above === undefined) return [];
    const names = components(path);
    return names.slice(components(above).length).map((_, index, { length }) => ({
      what: `mkdir below ${above}`,
      call: "mkdirat",
      args: [this.#root.number, names.slice(0, names.length - length + index + 1).join("/"), 0o755],
      success: "anything",
    }));
  }

  #closeSteps(): Step[] {
    return this.#free.map(closeNumberStep);
  }
}
