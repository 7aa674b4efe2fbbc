import { HakoError } from "../base/errors";
import { AT, O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { syscallOn, systemError, trySyscall } from "../linux/call/syscall";
import { hasErrno, linkText, listNames, removeTree, writeAllTo } from "../linux/file/file";
import { makeLinkAt, makeNodeAt } from "../linux/file/file-at";
import { mkdirAllInRoot, openAt, openIfThere, openInRoot } from "../linux/file/path";
import { components } from "../linux/file/path-text";
import { fileStatusOf, isSameFile } from "../linux/file/stat";
import { logWarning } from "../output/log";
import type { FreeSpace } from "./free-space";
import { type GnuSparseFile, sparseFile } from "./sparse";
import type { TarEntry, TarReader } from "./tar";
import { wrongArchive } from "./wrong";

/** What a layer says with a file's name (image spec, layer.md "Whiteouts"). */
const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
/** Names of aufs' own files. */
const AUFS = ".wh..wh.";

/** A path that is longer can't be removed by its name any more: PATH_MAX is 4096. */
const LONGEST_PATH = 3800;
const XATTR = "SCHILY.xattr.";
/** Overlayfs' own attributes would let an image say where the files of a directory come from. */
const OVERLAY_XATTR = "user.overlay.";

export interface LayerOptions {
  /** Owners are as the archive has them, which root can set; else all belongs to this user. */
  keepsOwners: boolean;
  /** Whiteouts remove files of the layers below; undefined for an archive that is no image's. */
  whiteouts: "none below" | "below" | undefined;
  space: FreeSpace;
}

/**
 * Unpacks one layer into a directory. The archive may be hostile: what is on the way to a file is looked up in the directory as its root
 * (openat2, RESOLVE_IN_ROOT), and the file itself is made anew, by its name in the directory that was found.
 */
export class LayerWriter implements TarReader {
  readonly #root: Fd;
  readonly #options: LayerOptions;
  /** Where the last file was made: the next one is there too, as a rule. */
  #parent: { path: string; fd: Fd } | undefined;
  /** The file that is being written. */
  #file: { entry: TarEntry; fd: Fd; sparse: GnuSparseFile | undefined } | undefined;
  /** What this layer has made: its whiteouts are not about that. */
  readonly #made = new Set<string>();
  readonly #directories = new Map<string, number>();
  #devices = 0;

  constructor(root: Fd, options: LayerOptions) {
    this.#root = root;
    this.#options = options;
  }

  [Symbol.dispose](): void {
    this.#parent?.fd.close();
    this.#file?.fd.close();
  }

  begin(entry: TarEntry): void {
    const named = (error: unknown) => {
      if (!(error instanceof HakoError) || error.message.startsWith('"')) return error;
      return error.with({ message: `${JSON.stringify(entry.name)}: ${error.message}` });
    };
    try {
      this.#make(entry);
    } catch (error) {
      throw named(error);
    }
  }

  data(bytes: Uint8Array): void {
    if (this.#file === undefined) return;
    const { fd, sparse, entry } = this.#file;
    this.#options.space.take(bytes.length);
    if (sparse === undefined) writeAllTo(fd.number, bytes, entry.name);
    else sparse.write(bytes);
  }

  end(): void {
    if (this.#file === undefined) return;
    const { entry, fd, sparse } = this.#file;
    sparse?.close();
    this.#setOwner(fd, "", entry, AT.EMPTY_PATH);
    syscallOn(entry.name, "fchmod", fd.number, this.#modeOf(entry));
    this.#setAttributes(fd, entry);
    setTimes(fd, null, entry.modified);
    fd.close();
    this.#file = undefined;
  }

  /** Directories get their times at last, for what is made in them changes these. */
  close(): void {
    for (const [path, modified] of this.#directories) {
      try {
        using fd = openInRoot(this.#root, path, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
        setTimes(fd, null, modified);
      } catch (error) {
        // a later entry has removed or replaced it
        if (!hasErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
      }
    }
    if (this.#devices > 0)
      logWarning(
        `${this.#devices} device nodes are left out: a container has those that its configuration names`,
      );
  }

  #make(entry: TarEntry): void {
    const names = namesOf(entry.name);
    const name = names.pop();
    if (name === undefined) {
      if (entry.type !== "directory")
        throw wrongArchive(`${JSON.stringify(entry.name)} is not a name of a file`);
      this.#setDirectory(this.#root, ".", entry);
      return;
    }
    const above = names.join("/");
    const path = above === "" ? name : `${above}/${name}`;
    if (this.#options.whiteouts !== undefined) {
      if (name !== OPAQUE && `/${path}`.includes(`/${AUFS}`)) return;
      if (name.startsWith(WHITEOUT)) {
        this.#whiteout(above, name);
        return;
      }
    }
    if (this.#options.whiteouts === "below") {
      for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1))
        this.#made.add(path.slice(0, end));
    }
    const parent = this.#directoryAt(above);
    if (entry.type === "directory") this.#makeDirectory(parent, name, path, entry);
    else if (entry.type === "device") this.#leaveOutDevice(parent, name, path);
    else if (entry.type === "link") this.#makeHardLink(parent, name, entry);
    else {
      this.#clear(parent, name);
      if (entry.type === "file") {
        const fd = openAt(parent, name, O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW, 0o600);
        this.#file = { entry, fd, sparse: sparseFile(fd, entry) };
        return;
      }
      if (entry.type === "symlink") makeLinkAt(parent, name, checkedText(entry.target));
      else makeNodeAt(parent, name, { type: "fifo", mode: 0o600, major: 0, minor: 0 });
      this.#setOwner(parent, name, entry, AT.SYMLINK_NOFOLLOW);
      if (entry.type === "fifo")
        syscallOn(entry.name, "fchmodat", AT.FDCWD, `${parent.path}/${name}`, this.#modeOf(entry));
      setTimes(parent, name, entry.modified, AT.SYMLINK_NOFOLLOW);
    }
  }

  /** A directory, made with those above it where they are missing; links that lead there are followed, in the root. */
  #directoryAt(path: string): Fd {
    if (path === "") {
      // what is a directory now may become something else
      this.#forgetParent();
      return this.#root;
    }
    if (this.#parent?.path === path) return this.#parent.fd;
    this.#forgetParent();
    const fd = mkdirAllInRoot(this.#root, path);
    this.#parent = { path, fd };
    if (linkText(fd.path).length > LONGEST_PATH)
      throw wrongArchive(`a path of more than ${LONGEST_PATH} bytes`);
    return fd;
  }

  #forgetParent(): void {
    this.#parent?.fd.close();
    this.#parent = undefined;
  }

  #makeDirectory(parent: Fd, name: string, path: string, entry: TarEntry): void {
    const result = trySyscall("mkdirat", parent.number, name, 0o700);
    if (result < 0) {
      using there = openAt(parent, name, O.PATH | O.NOFOLLOW);
      if (fileStatusOf(there).type !== "directory") {
        this.#clear(parent, name);
        syscallOn(entry.name, "mkdirat", parent.number, name, 0o700);
      }
    }
    using made = openAt(parent, name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
    this.#setDirectory(made, path, entry);
  }

  #setDirectory(fd: Fd, path: string, entry: TarEntry): void {
    this.#setOwner(fd, "", entry, AT.EMPTY_PATH);
    syscallOn(entry.name, "fchmodat", AT.FDCWD, fd.path, this.#modeOf(entry));
    this.#setAttributes(fd, entry);
    this.#directories.set(path, entry.modified);
  }

  #makeHardLink(parent: Fd, name: string, entry: TarEntry): void {
    const names = namesOf(entry.target);
    const targetName = names.pop();
    const missing = () =>
      wrongArchive(
        `its link's target ${JSON.stringify(entry.target)} is not a file of the archive before it`,
      );
    if (targetName === undefined) throw missing();
    try {
      using directory = openInRoot(this.#root, `/${names.join("/")}`, O.PATH | O.DIRECTORY);
      using target = openAt(directory, targetName, O.PATH | O.NOFOLLOW);
      if (fileStatusOf(target).type === "directory") throw missing();
      if (isThere(parent, name, target)) return;
      this.#clear(parent, name);
      syscallOn(entry.target, "linkat", directory.number, targetName, parent.number, name, 0);
    } catch (error) {
      throw hasErrno(error, "ENOENT", "ENOTDIR", "ELOOP") ? missing() : error;
    }
  }

  /** The ones in /dev are hidden by the container's own. */
  #leaveOutDevice(parent: Fd, name: string, path: string): void {
    this.#clear(parent, name);
    if (!path.startsWith("dev/")) this.#devices++;
  }

  /** Removes what is there, so that nothing is written through a link, or to a file that has other names. */
  #clear(parent: Fd, name: string): void {
    removeTree(`${parent.path}/${name}`);
  }

  #whiteout(above: string, name: string): void {
    const hidden = name.slice(WHITEOUT.length);
    if (hidden === "" || hidden === "." || hidden === "..") throw wrongArchive("a whiteout of no file");
    if (this.#options.whiteouts === "none below") return;
    let parent: Fd;
    try {
      parent = openInRoot(this.#root, `/${above}`, O.PATH | O.DIRECTORY);
    } catch (error) {
      if (hasErrno(error, "ENOENT", "ENOTDIR")) return;
      throw error;
    }
    using directory = parent;
    this.#forgetParent();
    const prefix = above === "" ? "" : `${above}/`;
    if (name === OPAQUE) {
      for (const each of listNames(directory.path)) this.#hide(directory, each, prefix);
      return;
    }
    this.#hide(directory, hidden, prefix);
  }

  /** Removes a file of the layers below, and of a directory that this layer has made or entered what is not its own. */
  #hide(directory: Fd, name: string, prefix: string): void {
    const path = `${prefix}${name}`;
    if (!this.#made.has(path)) {
      this.#clear(directory, name);
      return;
    }
    using fd = openAt(directory, name, O.PATH | O.NOFOLLOW);
    if (fileStatusOf(fd).type !== "directory") return;
    for (const each of listNames(fd.path)) this.#hide(fd, each, `${path}/`);
  }

  #setOwner(directory: Fd, path: string, { name, uid, gid }: TarEntry, flags: number): void {
    if (!this.#options.keepsOwners) return;
    const result = trySyscall("fchownat", directory.number, path, uid, gid, flags);
    if (result >= 0) return;
    const error = systemError("fchownat", -result, name);
    // the kernel's word for an id that a user namespace has no map for
    if (!hasErrno(error, "EINVAL")) throw error;
    throw error.with({
      message: `${JSON.stringify(name)}: its owner ${uid}:${gid} is none of your subordinate ids`,
      hint: "--map-root takes all files for yours; /etc/subuid and /etc/subgid may give more ids",
    });
  }

  /** Without owners setuid bits mean another user, and who has no rights over files needs those of their owner to remove them. */
  #modeOf({ mode, type }: TarEntry): number {
    if (this.#options.keepsOwners) return mode;
    return (mode & 0o1777) | (type === "directory" ? 0o700 : 0o600);
  }

  #setAttributes(fd: Fd, { name, pax }: TarEntry): void {
    for (const [keyword, value] of pax) {
      if (!keyword.startsWith(XATTR)) continue;
      const attribute = keyword.slice(XATTR.length);
      const isOwn = attribute.startsWith("user.") && !attribute.startsWith(OVERLAY_XATTR);
      const isCapability = attribute === "security.capability" && this.#options.keepsOwners;
      if (!isOwn && !isCapability) continue;
      const result = trySyscall("setxattr", fd.path, checkedText(attribute), value, value.length, 0);
      // EOPNOTSUPP: the file system has no such attributes
      if (result < 0 && result !== -95)
        syscallOn(name, "setxattr", fd.path, attribute, value, value.length, 0);
    }
  }
}

/** The components of an archive's name, which is relative to the root whether it begins with a slash or not. */
function namesOf(name: string): string[] {
  const names = components(checkedText(name));
  if (names.includes(".."))
    throw wrongArchive(`${JSON.stringify(name)} has "..", which may lead out of the archive`);
  return names;
}

function checkedText(text: string): string {
  if (text === "" || text.includes("\0")) throw wrongArchive(`${JSON.stringify(text)} is not a name`);
  return text;
}

/** Whether a name is already one of the file. */
function isThere(parent: Fd, name: string, file: Fd): boolean {
  using there = openIfThere(parent, name, O.PATH | O.NOFOLLOW);
  return there !== undefined && isSameFile(there, file);
}

/** Of a file in a directory, or, without a name, of what the descriptor is open on (utimensat(2)). */
function setTimes(directory: Fd, name: string | null, seconds: number, flags = 0): void {
  const whole = BigInt(Math.floor(seconds));
  const rest = BigInt(Math.floor((seconds - Math.floor(seconds)) * 1e9));
  const times = new BigInt64Array([whole, rest, whole, rest]);
  syscallOn(name ?? directory.name, "utimensat", directory.number, name, times, flags);
}
