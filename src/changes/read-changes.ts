import { during, HakoError } from "../base/errors";
import { bytesOf } from "../linux/call/bytes";
import { LIMIT, O, STATX } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { hasErrno, listNames } from "../linux/file/file";
import { openNode } from "../linux/file/file-at";
import { openAt, openIfThere, openWithoutLinks } from "../linux/file/path";
import { dirname } from "../linux/file/path-text";
import { type FileStatus, fileStatusOf } from "../linux/file/stat";
import { type Change, type Difference, hostFileOf, isBefore, shownOf } from "./change";
import {
  differencesOf,
  isSamePackage,
  LEFT_OUT,
  NO_ATTRIBUTES,
  readableAttributes,
  rightsOf,
  SHUT,
  sightOf,
  whyUnreadable,
} from "./compare-nodes";
import { isOpaque, originOf, originText } from "./node-attributes";
import { actsOn } from "./noteworthy";
import type { ApplyJournal, ChangesRecord, FileTime } from "./record";

/**
 * What the layers of an overlay have changed of the host. What is in them comes from a program that nobody trusts: each directory is opened from its
 * layer's own one, name by name and without links, so a tree of any depth takes no more than a few descriptors.
 */

/** Programs can't name what is deeper. */
const LONGEST = LIMIT.PATH_MAX - 1;

/** A layer that is read, with what is below it. */
interface OpenLayer {
  index: number;
  /** What its place is called in the container. */
  shown: string;
  upper: Fd;
  /** The place on the host. */
  host: Fd;
}

/** A directory that is still to be looked into. */
interface Pending {
  relative: string;
  /** "": the layer and the host, "removed": the host alone, of which all is gone since that time. */
  kind: "changed" | "removed";
  /** Whether the host has a directory there. */
  onHost: boolean;
  /** What the host has there is out of sight, since that time. */
  hiddenSince: FileTime | undefined;
}

/** All that was changed, in the order of paths. `journal` is that of an apply of a part, or of one that was ended halfway. */
export function readChanges(directory: Fd, record: ChangesRecord, journal?: ApplyJournal): Change[] {
  const changes: Change[] = [];
  for (const [index, { place, directory: name, isMount }] of record.layers.entries()) {
    using upper = openIfThere(directory, `${name}/upper`, O.PATH | O.DIRECTORY | O.NOFOLLOW);
    if (upper === undefined || listNames(upper.path).length === 0) continue;
    using host = placeOf(place, isMount, record);
    const shown = place.slice(record.rootfs === "/" ? 0 : record.rootfs.length);
    const layer = { index, shown: shown === "/" ? "" : shown, upper, host };
    changes.push(...new LayerReader(layer, record, new Set(journal?.directories), place).read());
  }
  const made = mountPointsOnly(changes, record.points);
  const isImage = record.image !== undefined;
  const shown = changes.flatMap((change) => {
    if (made.has(change.path)) return [];
    // it may have been unpacked once more, and is the same all the same
    return isImage ? { ...change, conflict: undefined } : change;
  });
  return shown.toSorted((one, other) => (one.path < other.path ? -1 : one.path > other.path ? 1 : 0));
}

/** Whether its own user can't read it, whom its mode shuts out, and so can't take it over. */
export function isShut({ obstacle }: Change): boolean {
  return obstacle === SHUT;
}

/** Mount points that hako itself has made for a run, with nothing in them. */
function mountPointsOnly(changes: readonly Change[], points: readonly string[]): Set<string> {
  const made = new Set<string>();
  if (points.length === 0) return made;
  const all = new Set(points.flatMap((point) => [point, ...waysTo(point)]));
  for (const { path, kind, to } of changes)
    if (kind === "added" && to !== undefined && all.has(path)) made.add(path);
  for (const { path } of changes) if (!made.has(path)) for (const way of waysTo(path)) made.delete(way);
  return made;
}

/** The directories above a path. */
function waysTo(path: string): string[] {
  const ways: string[] = [];
  for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1))
    ways.push(path.slice(0, end));
  return ways;
}

/** The host's directory that a layer of a record's is over. */
function placeOf(place: string, isMount: boolean, { image, rootfs }: ChangesRecord): Fd {
  try {
    return openPlace(place, isMount);
  } catch (error) {
    if (image === undefined || !hasErrno(error, "ENOENT")) throw error;
    throw new HakoError({
      code: "state",
      message: `changes of the image ${image}: it was removed from ${dirname(rootfs)}`,
      hint: `hako run --rootfs ${image} unpacks it again`,
    });
  }
}

/** The host's directory that a layer is over. */
export function openPlace(place: string, isMount: boolean): Fd {
  using root = openAt(undefined, "/", O.PATH | O.DIRECTORY);
  const opened = during(`changes of ${place}`, () => openWithoutLinks(root, place, O.PATH | O.DIRECTORY));
  if (fileStatusOf(opened).mountRoot || !isMount) return opened;
  opened.close();
  throw new HakoError({
    code: "state",
    message: `changes of ${place}: what was mounted there is not mounted now`,
    hint: "mount it, or discard the changes",
  });
}

class LayerReader {
  readonly #layer: OpenLayer;
  readonly #record: ChangesRecord;
  /** Absolute on the host: directories that hako itself was changing. */
  readonly #begun: ReadonlySet<string>;
  readonly #place: string;
  readonly #changes: Change[] = [];
  readonly #pending: Pending[] = [];
  /** Files in the layer that have several names there, at one of which the host has a file. */
  readonly #onHost = new Set<bigint>();
  /** Copies of files that the host hasn't at their places, by which files they are copies of. */
  readonly #copies: { change: Change; origin: string; sight: string; mayBeRemoved: boolean }[] = [];
  /** What files of the host that are removed would be copied from, and how a copy of each looks. */
  readonly #removedFiles = new Set<string>();

  constructor(layer: OpenLayer, record: ChangesRecord, begun: ReadonlySet<string>, place: string) {
    this.#layer = layer;
    this.#record = record;
    this.#begun = begun;
    this.#place = place === "/" ? "" : place;
  }

  read(): Change[] {
    const { upper, host } = this.#layer;
    this.#compare("", upper, host, undefined);
    this.#pending.push({ relative: "", kind: "changed", onHost: true, hiddenSince: undefined });
    for (let next = this.#pending.pop(); next !== undefined; next = this.#pending.pop()) this.#look(next);
    // a copy that was moved, or that has got another name, is none whose file somebody has removed
    for (const { change, origin, sight, mayBeRemoved } of this.#copies)
      if (
        !this.#removedFiles.has(origin) &&
        (change.inode === undefined || !this.#onHost.has(change.inode)) &&
        mayBeRemoved &&
        (origin !== "" || !this.#removedFiles.has(sight))
      )
        change.conflict = "the host's was removed since";
    return this.#changes;
  }

  #look(pending: Pending): void {
    const { relative, kind, onHost } = pending;
    if (bytesOf(relative).length > LONGEST) {
      this.#unreadable(relative, "its path is longer than any program can name");
      return;
    }
    this.#told(relative, () => {
      using host = onHost ? openWithoutLinks(this.#layer.host, relative, O.PATH | O.DIRECTORY) : undefined;
      if (kind === "removed") {
        if (host !== undefined) this.#lookAtRemoved(pending, host);
        return;
      }
      using upper = openWithoutLinks(this.#layer.upper, relative, O.PATH | O.DIRECTORY);
      this.#lookAtChanged(pending, upper, host);
    });
  }

  /** What can't be read is told; all else is read. */
  #told(relative: string, look: () => void): void {
    try {
      look();
    } catch (error) {
      if (!hasErrno(error, "EACCES", "ENOENT", "ENOTDIR", "ELOOP", "EIO", "ESTALE")) throw error;
      this.#unreadable(relative, `it can't be read: ${(error as Error).message}`);
    }
  }

  #lookAtChanged({ relative, hiddenSince }: Pending, upper: Fd, host: Fd | undefined): void {
    const { attributes } = this.#record;
    const since =
      hiddenSince ?? (isOpaque(upper, attributes) ? this.#runOf(fileStatusOf(upper, WITH_BIRTH)) : undefined);
    const names = new Set(listNames(upper.path));
    for (const name of names) {
      using node = openNode(upper, name);
      using old = host && openIfThere(host, name, O.PATH | O.NOFOLLOW);
      this.#told(below(relative, name), () => this.#entry(below(relative, name), node, old, host, since));
    }
    if (host === undefined || since === undefined) return;
    for (const name of listNames(host.path))
      if (!names.has(name)) this.#removed(below(relative, name), host, name, since);
  }

  #lookAtRemoved({ relative, hiddenSince = NEVER }: Pending, host: Fd): void {
    for (const name of listNames(host.path)) this.#removed(below(relative, name), host, name, hiddenSince);
  }

  #entry(
    relative: string,
    node: Fd,
    old: Fd | undefined,
    above: Fd | undefined,
    hiddenSince: FileTime | undefined,
  ): void {
    const status = fileStatusOf(node, WITH_BIRTH);
    const { type, major, minor } = status;
    if (type === "character" && major === 0 && minor === 0) {
      if (old !== undefined) this.#removedNode(relative, old, this.#runOf(status));
      return;
    }
    const was = this.#compare(relative, node, old, above);
    if (was === "unseen") return;
    if (type !== "directory") {
      if (was === "directory")
        this.#pending.push({ relative, kind: "removed", onHost: true, hiddenSince: this.#runOf(status) });
      return;
    }
    const onHost = was === "directory";
    this.#pending.push({ relative, kind: "changed", onHost, hiddenSince: onHost ? hiddenSince : undefined });
  }

  #removed(relative: string, host: Fd, name: string, since: FileTime): void {
    using old = openIfThere(host, name, O.PATH | O.NOFOLLOW);
    if (old !== undefined) this.#removedNode(relative, old, since);
  }

  #removedNode(relative: string, old: Fd, since: FileTime): void {
    const was = fileStatusOf(old, WITH_BIRTH);
    const origin = was.type === "file" ? originText(old) : undefined;
    if (origin !== undefined) this.#removedFiles.add(origin);
    if (was.type === "file") this.#removedFiles.add(sightOf(was));
    // a directory's own time changes with what is in it, which is looked at by itself
    const at = was.type === "directory" ? was.born : was.changed;
    const isNew = at !== undefined && !isBefore([Number(at[0]), at[1]], since);
    this.#add(relative, {
      kind: "removed",
      type: was.type,
      what: [],
      from: shownOf(old, was),
      to: undefined,
      host: hostFileOf(was),
      conflict: isNew ? "the host's was changed since" : undefined,
      obstacle: was.mountRoot ? "something is mounted there on the host" : undefined,
    });
    if (was.type === "directory" && !was.mountRoot)
      this.#pending.push({ relative, kind: "removed", onHost: true, hiddenSince: since });
  }

  /** Notes how a layer's file differs from the host's; what type that has, or that nobody can see what is below. */
  #compare(
    relative: string,
    node: Fd,
    old: Fd | undefined,
    above: Fd | undefined,
  ): FileStatus["type"] | "unseen" | undefined {
    const status = fileStatusOf(node, WITH_BIRTH);
    const was = old && fileStatusOf(old);
    const shut = whyUnreadable(node, status);
    const found =
      shut === undefined ? readableAttributes(node, status, this.#record.attributes) : NO_ATTRIBUTES;
    const what =
      old === undefined || was === undefined
        ? []
        : differencesOf({ node, status, found }, { node: old, status: was }, relative === "");
    const isMount = relative !== "" && was?.mountRoot === true;
    if (status.type === "file" && status.links > 1 && was?.type === "file") this.#onHost.add(status.inode);
    if (was === undefined || what.length > 0 || isMount || shut !== undefined)
      this.#add(relative, {
        kind: was === undefined ? "added" : "changed",
        type: status.type,
        what,
        from: old && was && shownOf(old, was),
        to: shownOf(node, status),
        host: was && hostFileOf(was),
        conflict: this.#conflict(relative, status, was, what),
        obstacle: isMount ? "something is mounted there on the host" : shut,
        leftOut: LEFT_OUT[status.type],
        rights: rightsOf(status, found, what, was && old && { node: old, status: was }),
        inode: status.type === "file" && status.links > 1 ? status.inode : undefined,
        samePackage: old !== undefined && isSamePackage(relative, node, status, old, was),
      });
    const change = this.#changes.at(-1);
    if (
      was === undefined &&
      change !== undefined &&
      shut === undefined &&
      (status.type === "file" || status.type === "directory")
    ) {
      const origin = originOf(node, this.#record.attributes);
      if (origin !== undefined) this.#noteCopy(change, origin, status, above);
    }
    return isMount || shut !== undefined ? "unseen" : was?.type;
  }

  /** A copy of a file of the host's that isn't there: the program has moved the copy, or somebody has removed the file. */
  #noteCopy(change: Change, origin: string, status: FileStatus, above: Fd | undefined): void {
    const { relative } = change;
    const slash = relative.lastIndexOf("/");
    const path = `${this.#place}/${slash < 0 ? "" : relative.slice(0, slash)}`;
    // to remove a file changes its directory; where hako itself has done so the rest of the time is not known
    const changed = above && hostFileOf(fileStatusOf(above)).changed;
    const isUnchanged =
      changed !== undefined && (isBefore(changed, this.#runOf(status)) || this.#begun.has(path));
    const mayBeRemoved = status.type === "directory" || origin !== "" || !isUnchanged;
    this.#copies.push({ change, origin, sight: sightOf(status), mayBeRemoved });
  }

  #conflict(
    relative: string,
    status: FileStatus,
    was: FileStatus | undefined,
    what: readonly Difference[],
  ): string | undefined {
    if (was === undefined) return undefined;
    if (this.#begun.has(`${this.#place}/${relative}`) && !what.includes("type")) return undefined;
    const { changed } = hostFileOf(was);
    return isBefore(changed, this.#runOf(status)) ? undefined : "the host's was changed since";
  }

  #unreadable(relative: string, obstacle: string): void {
    const nothing = { what: [], from: undefined, to: undefined, host: undefined, conflict: undefined };
    this.#add(relative, { kind: "changed", type: "directory", ...nothing, obstacle });
  }

  #add(
    relative: string,
    {
      samePackage = false,
      ...parts
    }: Omit<Change, "path" | "layer" | "relative" | "noteworthy" | Rare> &
      Partial<Pick<Change, Rare>> & { samePackage?: boolean },
  ): void {
    const { shown, index } = this.#layer;
    const path = relative === "" ? shown || "/" : `${shown}/${relative}`;
    const acting = parts.type === "directory" && parts.kind !== "removed" ? undefined : actsOn(path);
    const noteworthy = parts.rights ?? (samePackage ? undefined : acting);
    this.#changes.push({
      path,
      layer: index,
      relative,
      leftOut: undefined,
      rights: undefined,
      inode: undefined,
      ...parts,
      noteworthy,
    });
  }

  /** When the run began in which something was made; the first one's beginning where nobody knows. */
  #runOf({ born }: FileStatus): FileTime {
    const { runs } = this.#record;
    const [first = NEVER] = runs;
    if (born === undefined) return first;
    const time = [Number(born[0]), born[1]] as const;
    return runs.findLast((run) => !isBefore(time, run)) ?? first;
  }
}

/** What few changes have. */
type Rare = "leftOut" | "rights" | "inode";

const NEVER: FileTime = [0, 0];
const WITH_BIRTH = STATX.BASIC_STATS | STATX.BTIME;

function below(relative: string, name: string): string {
  return relative === "" ? name : `${relative}/${name}`;
}
