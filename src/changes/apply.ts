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
import { cleanUp, removeStaging } from "./clean-up";
import { copyContent } from "./file-content";
import { LastDirectory } from "./last-directory";
import { hasForeignGroup } from "./layer-group";
import { movable, moveBack, OWNER_WRITES, RENAME, rename, tryRename } from "./move";
import { replaceAttributes, takenAttributes, withoutCapabilities } from "./node-attributes";
import { openPlace } from "./read-changes";
import { type ApplyJournal, type ChangesRecord, type FileTime, writeJournal } from "./record";
import { removeHostileTree } from "./remove-tree";
import { StagingDirectories } from "./staging";

/**
 * Makes changes true. All that is new is made first, in directories of hako's own beside the places: where that fails, nothing has changed. Then each
 * takes its place by one rename, what was removed goes, and last of all what only has another mode or owner gets that. So at any moment each file is the
 * old one or the new one. What was begun is written down before: the next command that is about these changes removes what is left of it.
 * Nothing on the way to a file is followed if it is a link.
 */

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

/** Something that waits for its place, with its name in the staging directory of its parent. */
interface Staged {
  change: Change;
  temporary: string;
}

/** Where something is made: a path in a staging directory. */
interface Waiting {
  staging: string;
  at: string;
}

class Applying implements Disposable {
  readonly #directory: Fd;
  readonly #record: ChangesRecord;
  readonly #options: ApplyOptions;
  readonly #changes: readonly Change[];
  readonly #layers = new Map<number, { place: Fd; upper: Fd; path: string }>();
  readonly #prefix = `.hako-${randomBytes(8).toHex()}-`;
  readonly #staging = new StagingDirectories(this.#prefix);
  readonly #staged: Staged[] = [];
  /** New directories, with where they are made. */
  readonly #fresh = new Map<string, Waiting & { change: Change }>();
  /** New files with several names, with where the first one was made, if it was. */
  readonly #linked = new Map<string, Waiting | undefined>();
  /** Directories that are only there for their owner to write in while this goes on, with their modes. */
  readonly #opened = new Map<string, { change: Change; mode: number; inode: bigint }>();
  /** New directories. */
  readonly #new: ReadonlySet<string>;
  /** Directories that were opened where that was necessary. */
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
    this.#new = new Set(
      this.#changes.filter(isNewDirectory).map((change) => this.#key(change, change.relative)),
    );
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
    this.#staging[Symbol.dispose]();
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
    for (const change of [...attributes, ...made.filter(isClosedDirectory)])
      directories.add(this.#hostPath(change, change.relative));
    const journal = { prefix: this.#prefix, parents: [...parents], directories: [...directories] };
    const staging = () => this.#staging.noted;
    const note = () =>
      writeJournal(this.#directory.name ?? this.#directory.path, { ...journal, staging: staging() });
    note();
    using undo = new UndoStack((error) => logWarning(error.oneLine));
    undo.defer("modes", () => this.#restoreModes());
    undo.defer("what was begun", () => cleanUp({ ...journal, staging: staging() }));
    for (const change of [...made, ...removals]) this.#openParent(change);
    for (const change of [...made, ...removals.filter(({ type }) => type === "directory")])
      during(change.path, () => this.#makeStaging(change));
    note();
    this.#findLinked(made);
    for (const change of made) during(change.path, () => this.#stage(change));
    for (const fresh of [...this.#fresh.values()].reverse())
      during(fresh.change.path, () => this.#finishDirectory(fresh));
    this.#synchronize();
    for (const staged of this.#staged) during(staged.change.path, () => this.#put(staged));
    for (const change of removals) during(change.path, () => this.#remove(change));
    for (const each of staging()) removeStaging(each);
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

  /** The staging directory of what has a place in a directory of the host. */
  #makeStaging(change: Change): void {
    const above = dirname(change.relative);
    const key = this.#key(change, above);
    if (this.#new.has(key)) return;
    const { place } = this.#layerOf(change);
    this.#staging.make(key, { place, above, path: this.#hostPath(change, above) });
  }

  /** Lets the owner of a directory write in it, as the program has. */
  #openParent(change: Change): void {
    const above = dirname(change.relative);
    const key = this.#key(change, above);
    if (effectiveUser() === 0 || this.#new.has(key) || this.#looked.has(key)) return;
    this.#looked.add(key);
    using parent = this.#hostParent(change);
    const { mode, uid, inode } = fileStatusOf(parent);
    if (uid === effectiveUser() && (mode & WRITE_AND_ENTER) !== WRITE_AND_ENTER) {
      setMode(parent, mode | WRITE_AND_ENTER);
      this.#opened.set(key, { change, mode, inode });
    } else
      during(`write in ${this.#hostPath(change, above)}`, () =>
        checkAccess(parent.path, ACCESS.W_OK | ACCESS.X_OK),
      );
  }

  #restoreModes(): void {
    const opened = [...this.#opened.values()];
    this.#opened.clear();
    const failures = opened.flatMap(({ change, mode, inode }) => {
      try {
        during(this.#hostPath(change, dirname(change.relative)), () => {
          using parent = this.#hostParent(change);
          if (fileStatusOf(parent).inode !== inode) throw movedMeanwhile();
          setMode(parent, mode);
        });
        return [];
      } catch (error) {
        return [error];
      }
    });
    if (failures.length > 0) throw failures[0];
  }

  #stage(change: Change): void {
    const { upper } = this.#layerOf(change);
    const { relative, type } = change;
    const above = this.#key(change, dirname(relative));
    const name = basename(relative);
    const inside = this.#fresh.get(above);
    const waiting: Waiting = inside
      ? { staging: inside.staging, at: `${inside.at}/${name}` }
      : { staging: above, at: String(this.#names++) };
    const { parent, name: temporary } = this.#placeOf(waiting);
    using node = openNode(this.#from.open(upper, dirname(relative)), basename(relative));
    const status = fileStatusOf(node);
    if (status.type !== type) throw movedMeanwhile();
    if (!inside) this.#staged.push({ change, temporary });
    if (type === "directory") {
      syscallOn(name, "mkdirat", parent.number, temporary, 0o700);
      this.#fresh.set(this.#key(change, relative), { change, ...waiting });
    } else if (type === "symlink") {
      makeLinkAt(parent, temporary, readLink(node));
      using made = openNode(parent, temporary);
      this.#own(made, status);
      setTimes(parent, temporary, status, AT.SYMLINK_NOFOLLOW);
    } else if (!this.#link(change, waiting)) this.#copyFile(change, node, status, parent, temporary);
  }

  #placeOf({ staging, at }: Waiting): { parent: Fd; name: string } {
    return { parent: this.#into.open(this.#staging.open(staging), dirname(at)), name: basename(at) };
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
  #link(change: Change, waiting: Waiting): boolean {
    const key = this.#key(change, String(change.inode));
    if (!this.#linked.has(key)) return false;
    const first = this.#linked.get(key);
    if (first === undefined) {
      this.#linked.set(key, waiting);
      return false;
    }
    const staging = this.#staging.open(first.staging);
    using directory = openWithoutLinks(staging, dirname(first.at), O.PATH | O.DIRECTORY);
    const { parent, name } = this.#placeOf(waiting);
    syscallOn(name, "linkat", directory.number, basename(first.at), parent.number, name, 0);
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
  #finishDirectory({ change, staging, at }: Waiting & { change: Change }): void {
    const { upper } = this.#layerOf(change);
    using made = openWithoutLinks(this.#staging.open(staging), at, O.PATH | O.DIRECTORY);
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
    const staging = this.#stagingOf(change);
    using parent = this.#hostParent(change);
    this.#checkUnchanged(change, parent, name);
    const from = change.from?.type;
    const exchange = from !== undefined && (from === "directory") !== (change.type === "directory");
    const flags = from === undefined ? RENAME.NOREPLACE : exchange ? RENAME.EXCHANGE : 0;
    using _new = movable(staging, temporary, change.type);
    using _old = exchange ? movable(parent, name, from) : undefined;
    const result = tryRename(staging, temporary, parent, name, flags);
    // a file system that can't exchange two
    if (result < 0 && flags !== 0 && errnoName(-result) === "EINVAL") {
      if (exchange) this.#throwAway(change, parent, name);
      rename(staging, temporary, parent, name);
      return;
    }
    if (result < 0) throw systemError("rename", -result, name);
    if (exchange)
      this.#removeMoved(change, temporary, () => {
        if (tryRename(staging, temporary, parent, name, RENAME.EXCHANGE) < 0)
          moveBack(staging, temporary, parent, name);
      });
  }

  #remove(change: Change): void {
    const name = basename(change.relative);
    using parent = this.#hostParent(change);
    this.#checkUnchanged(change, parent, name);
    if (change.type !== "directory") syscallOn(name, "unlinkat", parent.number, name, 0);
    // also one of somebody else's, which only its owner may move elsewhere
    else if (trySyscall("unlinkat", parent.number, name, AT.REMOVEDIR) < 0)
      this.#throwAway(change, parent, name);
  }

  /** Removes all that has a name at once. */
  #throwAway(change: Change, parent: Fd, name: string): void {
    const staging = this.#stagingOf(change);
    const away = String(this.#names++);
    {
      using _old = movable(parent, name, change.from?.type);
      rename(parent, name, staging, away);
    }
    this.#removeMoved(change, away, () => moveBack(staging, away, parent, name));
  }

  /** Removes what was moved to where nobody else can exchange it, if that is what was compared: or else it goes back. */
  #removeMoved(change: Change, away: string, back: () => void): void {
    const staging = this.#stagingOf(change);
    {
      using node = openNode(staging, away);
      if (fileStatusOf(node).inode !== change.host?.inode) {
        back();
        throw movedMeanwhile();
      }
    }
    removeHostileTree(staging, away, "");
  }

  #stagingOf(change: Change): Fd {
    return this.#staging.open(this.#key(change, dirname(change.relative)));
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

/** Whether a new directory is one in which its owner can't write: it gets that mode last. */
function isClosedDirectory({ type, to }: Change): boolean {
  return type === "directory" && ((to?.mode ?? 0) & OWNER_WRITES) === 0;
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
