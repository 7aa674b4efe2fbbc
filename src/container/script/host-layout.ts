import type { HostPlace } from "../../drivers/interface/driver";
import { components, isAtOrBelow } from "../../linux/file/path-text";
import type { FileStatus } from "../../linux/file/stat";

/**
 * What an ordinary user's program may write of the host's tree, which itself is only read: an overlay over / is not to be had for such a
 * user, nor one over a directory that has mounts below it, for the kernel locks them together (clone_private_mount in fs/namespace.c).
 * So there is memory where everybody writes and where the host has its sockets, and an overlay over each directory that is the user's.
 */

/** What the layout depends on, so that a test can say it. */
export interface Host {
  uid: number;
  /** Where mounts are that a path leads to. */
  mounts: readonly { mountpoint: string; type: string }[];
  /** undefined where nothing is, or nothing that this user may look at. Links are not followed. */
  statusOf(path: string): Pick<FileStatus, "type" | "uid" | "mode"> | undefined;
  /** Whether this user may go into a directory. */
  isOpen(path: string): boolean;
  /** What is in a directory; undefined where this user may not look. */
  entriesOf(path: string): readonly HostEntry[] | undefined;
}

export interface HostEntry {
  name: string;
  type: FileStatus["type"] | undefined;
  /** Of a symbolic link. */
  target: string | undefined;
}

export interface Wanted {
  /** Directories that are memory in the container, with all that the host has in them; without links. */
  memory: readonly string[];
  /** Directories that the program works in, the one that it starts in first; without links. */
  own: readonly string[];
  /** Where the container's own mounts will be. */
  points: readonly string[];
}

export interface HostLayout {
  /** Those nearer to the root first. */
  places: HostPlace[];
  /** What the user might expect to write, and can't. */
  warnings: string[];
}

/** File systems that a path to their mount already waits for: for a server, or for a daemon that mounts on demand. */
const REMOTE: ReadonlySet<string> = new Set([
  ...["nfs", "nfs4", "cifs", "smb3", "ceph", "afs", "lustre", "9p", "autofs"],
]);

/** More than so many entries are not mounted one by one. */
const MAX_ENTRIES = 256;

/** Everybody may make files there, and remove one's own. */
const SHARED = 0o1002;

export function hostLayout(host: Host, wanted: Wanted): HostLayout {
  return new Planner(host, wanted).layout();
}

class Planner {
  readonly #host: Host;
  readonly #wanted: Wanted;
  readonly #places = new Map<string, HostPlace>();
  readonly #warnings: string[] = [];

  constructor(host: Host, wanted: Wanted) {
    this.#host = host;
    this.#wanted = wanted;
  }

  layout(): HostLayout {
    const { own, memory, points } = this.#wanted;
    for (const path of memory) this.#memory(path);
    for (const path of own) this.#own(path);
    for (const path of points) this.#point(path);
    const depth = ({ path }: HostPlace) => components(path).length;
    return {
      places: Array.from(this.#places.values()).toSorted((one, other) => depth(one) - depth(other)),
      warnings: this.#warnings,
    };
  }

  #add(place: HostPlace): void {
    this.#places.set(place.path, place);
  }

  #memory(path: string): void {
    const { mode = 0o755 } = this.#host.statusOf(path) ?? {};
    const shown = path === this.#wanted.own[0] && (mode & SHARED) === SHARED;
    this.#add({ kind: shown ? "overlay" : "memory", path, mode, otherwise: shown ? "memory" : undefined });
  }

  /** A directory that the user works in: the topmost one on the way there which is the user's own gets an overlay. */
  #own(path: string): void {
    const hiding = this.#wanted.memory.filter((top) => top !== path && isAtOrBelow(path, top)).pop();
    if (this.#writeTop(path, hiding ?? "/")) return;
    // the program starts there, or its caller is there
    if (hiding !== undefined) this.#show(path);
  }

  /** A directory of others', which is only read, by an overlay as well: a socket of the host's doesn't answer in one. */
  #show(path: string): void {
    const status = this.#host.statusOf(path);
    const isWhole = !this.#host.mounts.some(({ mountpoint }) => isBelow(mountpoint, path));
    // an overlay's own directory would be the user's, who may not be let in here
    if (status === undefined || !isWhole || !this.#host.isOpen(path)) this.#add({ kind: "read-only", path });
    else this.#add({ kind: "overlay", path, mode: status.mode, readonly: true, otherwise: undefined });
  }

  /** Has the topmost directory on the way to a path written which is the user's own; false if none is. */
  #writeTop(path: string, above: string): boolean {
    const top = this.#ownTop(path, above);
    if (top !== undefined) this.#write(top);
    return top !== undefined;
  }

  /** The topmost directory on the way to a path that is the user's own, below one that isn't looked at. */
  #ownTop(path: string, above: string): string | undefined {
    const names = components(path);
    for (let length = components(above).length + 1; length <= names.length; length++) {
      const way = `/${names.slice(0, length).join("/")}`;
      const status = this.#host.statusOf(way);
      if (status?.type !== "directory") return undefined;
      if (status.uid === this.#host.uid) return way;
    }
    return undefined;
  }

  /** Has a directory written in memory: by an overlay, or where something is mounted below it by one for each directory in it that has nothing. */
  #write(path: string): void {
    if (this.#places.has(path) || Array.from(this.#places.values()).some((place) => covers(place, path)))
      return;
    const status = this.#host.statusOf(path);
    if (status?.type !== "directory") return;
    if (status.uid !== this.#host.uid) {
      for (const own of this.#wanted.own) if (isBelow(own, path)) this.#writeTop(own, path);
      return;
    }
    const { mode } = status;
    const inside = this.#host.mounts.filter((mount) => isBelow(mount.mountpoint, path));
    if (inside.length === 0) this.#add({ kind: "overlay", path, mode, otherwise: undefined });
    else this.#writeAround(path, mode, inside);
  }

  #writeAround(path: string, mode: number, inside: Host["mounts"]): void {
    const names = this.#enter(path, mode, inside);
    if (names === undefined)
      this.#warnings.push(`${path} can't be written: ${inside[0]?.mountpoint} is mounted in it`);
    // to look at a file system of a program's own may be to wait for it
    const isProgram = (place: string) =>
      inside.some(({ mountpoint, type }) => mountpoint === place && type.startsWith("fuse"));
    for (const name of names ?? []) if (!isProgram(`${path}/${name}`)) this.#write(`${path}/${name}`);
  }

  /** A directory that is made anew in memory, with what is in it; the directories of these. undefined where they are too many. */
  #enter(path: string, mode: number, inside: Host["mounts"]): string[] | undefined {
    const at = (name: string) => `${path === "/" ? "" : path}/${name}`;
    // where the user works is in sight already
    const isRemote = ({ name }: HostEntry) =>
      inside.some(({ mountpoint, type }) => mountpoint === at(name) && REMOTE.has(type)) &&
      !this.#wanted.own.some((own) => isAtOrBelow(own, at(name)));
    const entries = this.#host.entriesOf(path);
    if (entries === undefined || entries.length > MAX_ENTRIES) return undefined;
    for (const each of entries.filter(isRemote))
      this.#warnings.push(`${at(each.name)} is not shown: it is on a network (-v shows it)`);
    const shown = entries.filter((entry) => !isRemote(entry));
    const namesOf = (...types: FileStatus["type"][]) =>
      shown.filter(({ type }) => type !== undefined && types.includes(type)).map(({ name }) => name);
    const links = shown.flatMap(({ name, target }): [string, string][] =>
      target === undefined ? [] : [[name, target]],
    );
    this.#add({ kind: "entries", path, mode, names: namesOf("directory", "file"), links });
    return namesOf("directory");
  }

  /** A mount point that the host hasn't is made in memory: the directory that it would be in is made anew. */
  #point(path: string): void {
    const names = components(path);
    for (let length = 0; length < names.length; length++) {
      const way = `/${names.slice(0, length + 1).join("/")}`;
      const above = `/${names.slice(0, length).join("/")}`;
      const [missing, place] = [this.#host.statusOf(way) === undefined, this.#places.get(above)];
      // what is missing there can be made
      if (place !== undefined && (missing || place.kind !== "entries")) return;
      if (!missing) continue;
      const status = this.#host.statusOf(above);
      const inside = this.#host.mounts.filter((mount) => isBelow(mount.mountpoint, above));
      if (status?.type === "directory") this.#enter(above, status.mode, inside);
      return;
    }
  }
}

/** Whether what is mounted at a place has all below it written already. */
function covers(place: HostPlace, path: string): boolean {
  return place.kind === "overlay" && isBelow(path, place.path);
}

function isBelow(path: string, top: string): boolean {
  return path !== top && isAtOrBelow(path, top);
}
