import { errnoName } from "../base/errno";
import { during, HakoError } from "../base/errors";
import { UndoStack } from "../base/undo";
import { ACCESS, AT, O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { syscallOn, systemError, trySyscall } from "../linux/call/syscall";
import { checkAccess } from "../linux/file/file";
import { makeLinkAt, openNode, setMode, setOwner } from "../linux/file/file-at";
import { openAt, openIfThere, openWithoutLinks, readLink } from "../linux/file/path";
import { basename, dirname } from "../linux/file/path-text";
import { type FileStatus, fileStatusOf } from "../linux/file/stat";
import { randomBytes } from "../linux/kernel/random";
import { effectiveUser } from "../linux/process/rootless";
import { logWarning } from "../output/log";
import { type Change, type HostFile, hostFileOf } from "./change";
import { isNewDirectory } from "./choose";
import { cleanUp } from "./clean-up";
import { copyContent } from "./file-content";
import { LastDirectory } from "./last-directory";
import { hasForeignGroup } from "./layer-group";
import { replaceAttributes, takenAttributes, withoutCapabilities } from "./node-attributes";
import { openPlace } from "./read-changes";
import { type ApplyJournal, type ChangesRecord, type FileTime, writeJournal } from "./record";
import { removeHostileTree } from "./remove-tree";

/**
 * Makes changes true. All that is new is made first, each beside its place under a name of its own: where that fails, nothing has changed. Then each
 * takes its place by one rename, what was removed goes, and last of all what only has another mode or owner gets that. So at any moment each file is the
 * old one or the new one. What was begun is written down before: the next command that is about these changes removes what is left of it.
 * Nothing on the way to a file is followed if it is a link.
 */

/** renameat2(2). */
const RENAME = { NOREPLACE: 1, EXCHANGE: 2 } as const;
const RIGHTS = 0o6000;
const WRITE_AND_ENTER = 0o300;

export interface Applied {
  changes: number;
  /** What was not taken over, with why. */
  leftOut: { path: string; why: string }[];
}

export interface ApplyOptions {
  /** Conflicts, setuid bits and capabilities are no reasons not to. */
  force: boolean;
}

/** Refuses changes of what stays as it is (docs/decisions/changes-of-images.md). */
export function refuseImage(directory: string, { image }: ChangesRecord): void {
  if (image === undefined) return;
  throw new HakoError({
    code: "state",
    message: `${directory} holds changes of the image ${image}, which stays as it is for all who run it: nothing can be applied`,
    hint: `hako run --rootfs ${image} --changes ${directory} goes on with them; hako unpack ${image} BUNDLE makes a directory of it, to which changes made with --rootfs BUNDLE/rootfs can be applied`,
  });
}

/** Refuses changes that can't be made true, all by name, before anything is done. */
export function checkApplicable(changes: readonly Change[], { force }: ApplyOptions): Refused[] {
  return changes.flatMap(({ path, conflict, obstacle, leftOut }) => {
    if (leftOut !== undefined) return [];
    const why = obstacle ?? (force ? undefined : conflict);
    return why === undefined ? [] : [{ path, why }];
  });
}

export interface Refused {
  path: string;
  why: string;
}

export function applyChanges(
  directory: Fd,
  record: ChangesRecord,
  changes: readonly Change[],
  options: ApplyOptions,
  before: ApplyJournal | undefined,
): Applied {
  using applying = new Applying(directory, record, changes, options);
  return applying.apply(before);
}

/** Something that waits beside its place. */
interface Staged {
  change: Change;
  temporary: string;
}

class Applying implements Disposable {
  readonly #directory: Fd;
  readonly #record: ChangesRecord;
  readonly #options: ApplyOptions;
  readonly #changes: readonly Change[];
  readonly #layers = new Map<number, { place: Fd; upper: Fd; path: string }>();
  readonly #prefix = `.hako-${randomBytes(8).toHex()}-`;
  readonly #staged: Staged[] = [];
  /** New directories, with where they are made, below their places. */
  readonly #fresh = new Map<string, { change: Change; at: string }>();
  /** New files with several names, with where the first one was made, if it was. */
  readonly #linked = new Map<string, string | undefined>();
  /** Directories that are only there for their owner to write in while this goes on, with their modes. */
  readonly #opened = new Map<string, { change: Change; mode: number }>();
  /** New directories, and others that were opened. */
  readonly #looked = new Set<string>();
  readonly #leftOut: Applied["leftOut"] = [];
  readonly #into = new LastDirectory();
  readonly #from = new LastDirectory();
  #names = 0;

  constructor(directory: Fd, record: ChangesRecord, changes: readonly Change[], options: ApplyOptions) {
    this.#directory = directory;
    this.#record = record;
    this.#options = options;
    this.#changes = changes.filter(({ path, leftOut }) => {
      if (leftOut !== undefined) this.#leftOut.push({ path, why: leftOut });
      return leftOut === undefined;
    });
    for (const change of this.#changes)
      if (isNewDirectory(change)) this.#looked.add(this.#key(change, change.relative));
    for (const index of new Set(this.#changes.map(({ layer }) => layer))) this.#openLayer(directory, index);
  }

  #openLayer(directory: Fd, index: number): void {
    const layer = this.#record.layers[index];
    if (layer === undefined) throw new Error(`no layer ${index}`);
    const { place, directory: name, isMount } = layer;
    this.#layers.set(index, {
      place: openPlace(place, isMount),
      upper: openAt(directory, `${name}/upper`, O.PATH | O.DIRECTORY | O.NOFOLLOW),
      path: place === "/" ? "" : place,
    });
  }

  [Symbol.dispose](): void {
    this.#into[Symbol.dispose]();
    this.#from[Symbol.dispose]();
    for (const { place, upper } of this.#layers.values()) {
      place.close();
      upper.close();
    }
  }

  apply(before: ApplyJournal | undefined): Applied {
    const removals = this.#removals();
    const attributes = this.#changes.filter(isInPlace);
    const made = this.#changes.filter((change) => change.kind !== "removed" && !isInPlace(change));
    const parents = new Set(
      [...made, ...removals].map((change) => this.#hostPath(change, dirname(change.relative))),
    );
    const directories = new Set([...(before?.directories ?? []), ...parents]);
    for (const change of attributes) directories.add(this.#hostPath(change, change.relative));
    const journal = { prefix: this.#prefix, parents: [...parents], directories: [...directories] };
    writeJournal(this.#directory.name ?? this.#directory.path, journal);
    using undo = new UndoStack((error) => logWarning(error.oneLine));
    undo.defer("modes", () => this.#restoreModes());
    undo.defer("what was begun", () => cleanUp(journal));
    for (const change of [...made, ...removals]) this.#openParent(change);
    this.#findLinked(made);
    for (const change of made) during(change.path, () => this.#stage(change));
    for (const { change, at } of [...this.#fresh.values()].reverse())
      during(change.path, () => this.#finishDirectory(change, at));
    this.#synchronize();
    for (const staged of this.#staged) during(staged.change.path, () => this.#put(staged));
    for (const change of removals) during(change.path, () => this.#remove(change));
    this.#restoreModes();
    for (const change of attributes) during(change.path, () => this.#changeInPlace(change));
    undo.commit();
    this.#synchronize();
    return { changes: this.#changes.length, leftOut: this.#leftOut };
  }

  /** What is removed with nothing that is removed, or replaced, above it. */
  #removals(): Change[] {
    const gone = new Set(
      this.#changes
        .filter(
          ({ kind, what, from }) =>
            kind === "removed" || (what.includes("type") && from?.type === "directory"),
        )
        .map(({ path }) => path),
    );
    const isBelowGone = (path: string) => {
      for (let way = dirname(path); way !== "/"; way = dirname(way)) if (gone.has(way)) return true;
      return false;
    };
    return this.#changes.filter(({ kind, path }) => kind === "removed" && !isBelowGone(path));
  }

  #layerOf({ layer }: Change): { place: Fd; upper: Fd; path: string } {
    const found = this.#layers.get(layer);
    if (found === undefined) throw new Error(`no layer ${layer}`);
    return found;
  }

  #hostPath(change: Change, relative: string): string {
    const { path } = this.#layerOf(change);
    return relative === "." || relative === "" ? path || "/" : `${path}/${relative}`;
  }

  #key({ layer }: Change, relative: string): string {
    return `${layer}/${relative}`;
  }

  /** The host's directory that a change is in. */
  #hostParent(change: Change): Fd {
    return openWithoutLinks(this.#layerOf(change).place, dirname(change.relative), O.PATH | O.DIRECTORY);
  }

  /** Where the parent of a change is while this goes on: in a new directory that waits, or on the host. */
  #parentAt(change: Change): string {
    const above = dirname(change.relative);
    return this.#fresh.get(this.#key(change, above))?.at ?? above;
  }

  /** Lets the owner of a directory write in it, as the program has. */
  #openParent(change: Change): void {
    const above = dirname(change.relative);
    const key = this.#key(change, above);
    if (effectiveUser() === 0 || this.#looked.has(key)) return;
    this.#looked.add(key);
    using parent = this.#hostParent(change);
    const { mode, uid } = fileStatusOf(parent);
    if (uid === effectiveUser() && (mode & WRITE_AND_ENTER) !== WRITE_AND_ENTER) {
      setMode(parent, mode | WRITE_AND_ENTER);
      this.#opened.set(key, { change, mode });
    } else
      during(`write in ${this.#hostPath(change, above)}`, () =>
        checkAccess(parent.path, ACCESS.W_OK | ACCESS.X_OK),
      );
  }

  #restoreModes(): void {
    for (const { change, mode } of this.#opened.values()) {
      using parent = this.#hostParent(change);
      setMode(parent, mode);
    }
    this.#opened.clear();
  }

  #stage(change: Change): void {
    const { place, upper } = this.#layerOf(change);
    const { relative, type } = change;
    const at = this.#parentAt(change);
    const isInside = at !== dirname(relative) || this.#fresh.has(this.#key(change, dirname(relative)));
    const name = isInside ? basename(relative) : `${this.#prefix}${this.#names++}`;
    const parent = this.#into.open(place, at);
    using node = openNode(this.#from.open(upper, dirname(relative)), basename(relative));
    const status = fileStatusOf(node);
    if (status.type !== type) throw movedMeanwhile();
    const here = at === "." ? name : `${at}/${name}`;
    if (!isInside) this.#staged.push({ change, temporary: name });
    if (type === "directory") {
      syscallOn(name, "mkdirat", parent.number, name, 0o700);
      this.#fresh.set(this.#key(change, relative), { change, at: here });
    } else if (type === "symlink") {
      makeLinkAt(parent, name, readLink(node));
      using made = openNode(parent, name);
      this.#own(made, status);
      setTimes(parent, name, status, AT.SYMLINK_NOFOLLOW);
    } else if (!this.#link(change, parent, name, here)) this.#copyFile(change, node, status, parent, name);
  }

  /**
   * Files whose names stay those of one file: all of them are new, and nobody acts on one by itself. What the host has gets no other name: by that a
   * program that may write there later would write to it where it may not.
   */
  #findLinked(made: readonly Change[]): void {
    const others = new Set<string>();
    for (const change of made) {
      if (change.inode === undefined) continue;
      const key = this.#key(change, String(change.inode));
      if (change.kind === "added" && change.noteworthy === undefined) this.#linked.set(key, undefined);
      else others.add(key);
    }
    for (const key of others) this.#linked.delete(key);
  }

  /** A further name of a file that is there already. */
  #link(change: Change, parent: Fd, name: string, here: string): boolean {
    const key = this.#key(change, String(change.inode));
    if (!this.#linked.has(key)) return false;
    const first = this.#linked.get(key);
    if (first === undefined) {
      this.#linked.set(key, here);
      return false;
    }
    using directory = openWithoutLinks(this.#layerOf(change).place, dirname(first), O.PATH | O.DIRECTORY);
    syscallOn(name, "linkat", directory.number, basename(first), parent.number, name, 0);
    return true;
  }

  #copyFile(change: Change, node: Fd, status: FileStatus, parent: Fd, name: string): void {
    using made = openAt(parent, name, O.RDWR | O.CREAT | O.EXCL | O.NOFOLLOW, 0o600);
    copyContent(node, made);
    this.#takeOver(change, node, status, made);
    setTimes(made, null, status);
  }

  /** The owner, mode and attributes that a file or directory has in its layer. */
  #takeOver(change: Change, node: Fd, status: FileStatus, made: Fd, gid = status.gid): void {
    const found = takenAttributes(node, this.#record.attributes);
    const isKept = change.rights === undefined || this.#options.force;
    if (!isKept)
      this.#leftOut.push({ path: change.path, why: `${change.rights}: --force gives it that, too` });
    this.#own(made, { uid: status.uid, gid });
    setMode(made, isKept ? status.mode : status.mode & ~RIGHTS);
    replaceAttributes(made, isKept ? found : withoutCapabilities(found));
  }

  #own(made: Fd, { uid, gid }: Pick<FileStatus, "uid" | "gid">): void {
    const now = fileStatusOf(made);
    if (now.uid !== uid || now.gid !== gid) setOwner(made, uid, gid);
  }

  /** A new directory, in which all is. */
  #finishDirectory(change: Change, at: string): void {
    const { place, upper } = this.#layerOf(change);
    using made = openWithoutLinks(place, at, O.PATH | O.DIRECTORY);
    using node = openWithoutLinks(upper, change.relative, O.PATH | O.DIRECTORY);
    const status = fileStatusOf(node);
    this.#takeOver(change, node, status, made);
    setTimes(undefined, made.path, status);
  }

  /** Gives what the host has, with all its names, another mode, owner or attributes. */
  #changeInPlace(change: Change): void {
    const { place, upper } = this.#layerOf(change);
    using now = openWithoutLinks(place, change.relative, O.PATH);
    using node = openWithoutLinks(upper, change.relative, O.PATH);
    const [status, was] = [fileStatusOf(node), fileStatusOf(now)];
    if (status.type !== was.type || !isSame(change, hostFileOf(was))) throw movedMeanwhile();
    const { gid } = change.relative === "" && hasForeignGroup(status, was) ? was : status;
    this.#takeOver(change, node, status, now, gid);
    if (status.type === "file") setTimes(undefined, now.path, status);
  }

  /** Gives what waits its place, unless the host's is another one than it was. */
  #put({ change, temporary }: Staged): void {
    const name = basename(change.relative);
    using parent = this.#hostParent(change);
    this.#checkUnchanged(change, parent, name);
    const from = change.from?.type;
    const exchange = from !== undefined && (from === "directory") !== (change.type === "directory");
    const flags = from === undefined ? RENAME.NOREPLACE : exchange ? RENAME.EXCHANGE : 0;
    const result = trySyscall("renameat2", parent.number, temporary, parent.number, name, flags);
    // a file system that can't exchange two
    if (result < 0 && flags !== 0 && errnoName(-result) === "EINVAL") {
      const away = `${this.#prefix}${this.#names++}`;
      if (exchange) rename(parent, name, away);
      rename(parent, temporary, name);
      if (exchange) removeHostileTree(parent, away, this.#prefix);
      return;
    }
    if (result < 0) throw systemError("rename", -result, name);
    if (exchange) removeHostileTree(parent, temporary, this.#prefix);
  }

  #remove(change: Change): void {
    const name = basename(change.relative);
    using parent = this.#hostParent(change);
    this.#checkUnchanged(change, parent, name);
    if (change.type !== "directory") {
      syscallOn(name, "unlinkat", parent.number, name, 0);
      return;
    }
    // all of it at once
    const away = `${this.#prefix}${this.#names++}`;
    rename(parent, name, away);
    removeHostileTree(parent, away, this.#prefix);
  }

  #checkUnchanged(change: Change, parent: Fd, name: string): void {
    using node = openIfThere(parent, name, O.PATH | O.NOFOLLOW);
    if (!isSame(change, node && hostFileOf(fileStatusOf(node)))) throw movedMeanwhile();
  }

  /** Until here all is on disk. */
  #synchronize(): void {
    for (const { place } of this.#layers.values()) {
      using opened = openAt(place, ".", O.RDONLY | O.DIRECTORY);
      syscallOn(place.name, "syncfs", opened.number);
    }
  }
}

/** Whether only mode, owner or attributes are others. */
function isInPlace({ kind, type, what }: Change): boolean {
  if (kind !== "changed" || what.includes("type")) return false;
  return type === "directory" || (type === "file" && !what.includes("content"));
}

/** Whether the host has what was compared. */
function isSame({ host, from }: Change, now: HostFile | undefined): boolean {
  if (now === undefined || host === undefined) return now === host;
  // a directory's own time changes with what is in it
  return now.inode === host.inode && (from?.type === "directory" || isSameTime(now.changed, host.changed));
}

function isSameTime(one: FileTime, other: FileTime): boolean {
  return one[0] === other[0] && one[1] === other[1];
}

function rename(parent: Fd, from: string, to: string): void {
  const result = trySyscall("renameat2", parent.number, from, parent.number, to, 0);
  if (result < 0) throw systemError("rename", -result, from);
}

function movedMeanwhile(): HakoError {
  return new HakoError({
    code: "state",
    message: "it was changed meanwhile",
    hint: "what was applied before it stays: look again, and apply the rest",
  });
}

/** Modification times are as in the layer (utimensat(2)). */
function setTimes(directory: Fd | undefined, name: string | null, { modified }: FileStatus, flags = 0): void {
  const [seconds, nanoseconds] = modified;
  const times = new BigInt64Array([seconds, BigInt(nanoseconds), seconds, BigInt(nanoseconds)]);
  syscallOn(name ?? directory?.name, "utimensat", directory?.number ?? AT.FDCWD, name, times, flags);
}
