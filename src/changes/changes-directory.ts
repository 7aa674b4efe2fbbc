import { during, HakoError } from "../base/errors";
import { LOCK, O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { syscallOn, trySyscall } from "../linux/call/syscall";
import {
  hasErrno,
  listNames,
  makeDirectories,
  makeDirectory,
  realPath,
  removeDirectory,
  removeFile,
  statusAt,
} from "../linux/file/file";
import { openAt, openIfThere, openWithoutLinks } from "../linux/file/path";
import { isAtOrBelow } from "../linux/file/path-text";
import { type FileStatus, fileStatusOf } from "../linux/file/stat";
import { type IdRange, isHostIdOf } from "../linux/process/id-map";
import { effectiveUser, inUserNamespace } from "../linux/process/rootless";
import type { IdMaps } from "../linux/process/subordinate-ids";
import { checkWay } from "../state/trusted-path";
import { hostFileOf } from "./change";
import { cleanUp } from "./clean-up";
import { hasForeignGroup } from "./layer-group";
import { replaceAttributes, takenAttributes } from "./node-attributes";
import { attributeSpace, checkUpperDirectory, isLayerInUse } from "./overlay-layers";
import {
  type ApplyJournal,
  BEGUN,
  type ChangesRecord,
  FILES_OF_CHANGES,
  isDiscarded,
  markDiscarded,
  readChangesRecord,
  readJournal,
  readMaps,
  writeChangesRecord,
} from "./record";
import { removeHostileTree } from "./remove-tree";
import { checkWayWithoutGroups } from "./way-by-group";

const WHAT = "directory of changes";
const TRASH = "trash-";
const OTHERS = 0o077;
/** The kernel takes its time to unmount what an ended container had. */
const TRIES = 50;
const PAUSE_MS = 20;

/** A directory in which `run --changes` keeps what commands have changed. */
export class ChangesDirectory implements Disposable {
  /** Absolute, without links. */
  readonly path: string;
  readonly #fd: Fd;

  private constructor(path: string, fd: Fd) {
    this.path = path;
    this.#fd = fd;
  }

  /** Opens one that is there. Nobody else may have led it elsewhere, or written to it. */
  static open(text: string): ChangesDirectory {
    if (text === "") throw HakoError.usage(`${WHAT}: empty`);
    checkWay(WHAT, text);
    const path = realPath(text);
    const opened = new ChangesDirectory(path, openAt(undefined, path, O.RDONLY | O.DIRECTORY | O.NOFOLLOW));
    try {
      opened.#checkOwner();
    } catch (error) {
      opened[Symbol.dispose]();
      throw error;
    }
    return opened;
  }

  #checkOwner(): void {
    const { uid } = fileStatusOf(this.#fd);
    if (uid === effectiveUser()) return;
    throw this.#refused(`it belongs to user ${uid}, who alone can do this`);
  }

  get fd(): Fd {
    return this.#fd;
  }

  /** What it holds; undefined where it is empty. */
  get record(): ChangesRecord | undefined {
    const record = readChangesRecord(this.path);
    if (record === undefined) {
      // a run that was killed had made nothing else yet
      const isEmpty = listNames(this.path).every((name) => name.startsWith(BEGUN));
      if (isDiscarded(this.path) || isEmpty) return undefined;
      throw this.#refused("it is none that hako has made", "an empty directory, or one that isn't there yet");
    }
    if (record.uid === effectiveUser()) return record;
    throw this.#refused(`it holds changes of user ${record.uid}`);
  }

  /** Those of an ordinary user's containers, which have let files belong to other ids of the user's. */
  get maps(): IdMaps | undefined {
    return readMaps(this.path);
  }

  get journal(): ApplyJournal | undefined {
    return readJournal(this.path);
  }

  /** Whether a container is there whose writes go here. */
  isInUse(record: ChangesRecord): boolean {
    const layers = record.layers.map(({ directory }) => `${this.path}/${directory}`);
    return layers.some((layer) => statusAt(`${layer}/work`) !== undefined && isLayerInUse(layer));
  }

  /** Refuses it if anybody else is about it, and keeps others out until it is closed; what it holds from then on. */
  claim(): ChangesRecord | undefined {
    for (let tries = 0; tries < TRIES; tries++) {
      if (trySyscall("flock", this.#fd.number, LOCK.EX | LOCK.NB) >= 0) {
        // who had it until now may have applied all, or thrown it away
        const { record } = this;
        if (record === undefined) this.#removeBegun();
        if (record === undefined || !this.isInUse(record)) return record;
      }
      Bun.sleepSync(PAUSE_MS);
    }
    throw new HakoError({
      code: "state",
      message: `${this.path} is in use: a container that writes there, or another hako changes`,
      hint: "wait for its end, or name another directory",
    });
  }

  /** Removes what an apply that was ended halfway has left on the host. */
  cleanUp(): void {
    const { journal } = this;
    if (journal !== undefined) cleanUp(journal);
  }

  #removeBegun(): void {
    for (const name of listNames(this.path))
      if (name.startsWith(BEGUN)) removeHostileTree(this.#fd, name, BEGUN);
  }

  /** Throws all away; also goes on with what another one has begun. */
  discard(): void {
    const { record } = this;
    if (record !== undefined) {
      this.cleanUp();
      markDiscarded(this.path);
    }
    this.removeDiscarded();
  }

  /** Removes what was thrown away. */
  removeDiscarded(): void {
    if (!isDiscarded(this.path)) return;
    for (const name of listNames(this.path))
      if (name !== FILES_OF_CHANGES.discarded) removeHostileTree(this.#fd, name, TRASH);
    removeFile(`${this.path}/${FILES_OF_CHANGES.discarded}`);
  }

  #refused(why: string, hint?: string): HakoError {
    return new HakoError({ code: "state", message: `${WHAT} ${this.path}: ${why}`, hint, path: this.path });
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

/** What a run is about. */
export interface ChangesOf {
  /** Absolute, without links. */
  rootfs: string;
  /** The image that is unpacked there. */
  image: string | undefined;
  /** Each place of the host that is written, absolute. */
  places: readonly string[];
  /** Mount points, as the program sees them, that are made. */
  points: readonly string[];
}

/** What decides to whom files belong that a container writes. */
export interface OwnersOfChanges {
  /** Of its user namespace, if that has more ids than one. */
  maps: IdMaps | undefined;
  /** Mounts map them, so that files belong to those to whom they would belong without that user namespace. */
  mapsOwners: boolean;
}

const NOBODY_ELSE: OwnersOfChanges = { maps: undefined, mapsOwners: false };

/** A directory of changes that is a run's own until this is closed. */
export class ClaimedChanges implements Disposable {
  readonly #directory: ChangesDirectory;
  readonly #ids: OwnersOfChanges;
  readonly #attributes: ChangesRecord["attributes"];
  /** Whether it was made, and whether it has held nothing. */
  readonly #made: boolean;
  readonly #known: ChangesRecord | undefined;

  private constructor(directory: ChangesDirectory, made: boolean, ids: OwnersOfChanges) {
    this.#directory = directory;
    this.#made = made;
    this.#ids = ids;
    this.#attributes = attributeSpace(ids.mapsOwners);
    this.#known = directory.claim();
  }

  /** The one at a path, which is made if it is missing. */
  static at(text: string, ids: OwnersOfChanges = NOBODY_ELSE): ClaimedChanges {
    if (text === "") throw HakoError.usage("--changes: empty", "a directory");
    const made = statusAt(text) === undefined;
    if (made) {
      checkWay(WHAT, text);
      makeDirectory(text, 0o700);
    }
    const directory = ChangesDirectory.open(text);
    try {
      if (ids.maps !== undefined && !ids.mapsOwners) checkWayWithoutGroups(directory.path);
      const claimed = new ClaimedChanges(directory, made, ids);
      during(
        text,
        () => directory.removeDiscarded(),
        () => ({ hint: `hako changes discard ${text} removes what is left of changes that were discarded` }),
      );
      syscallOn(text, "fchmod", directory.fd.number, fileStatusOf(directory.fd).mode & ~OTHERS);
      checkUpperDirectory(directory.fd, directory.path);
      return claimed;
    } catch (error) {
      directory[Symbol.dispose]();
      if (made) removeDirectory(text);
      throw error;
    }
  }

  /** Absolute, without links. */
  get path(): string {
    return this.#directory.path;
  }

  /** The places that are written since an earlier run. */
  get knownPlaces(): readonly string[] {
    return this.#known?.layers.map(({ place }) => place) ?? [];
  }

  /** Makes what a run needs; the layer of each place. */
  begin({ rootfs, image, places, points }: ChangesOf): ReadonlyMap<string, string> {
    const known = this.#known;
    const record = known ?? this.#newRecord(rootfs, image);
    this.#checkSame(record, rootfs);
    this.#checkPlaces(record, places);
    const layers = [...record.layers];
    for (const place of places) {
      if (layers.some((layer) => layer.place === place)) continue;
      layers.push({ place, directory: String(layers.length), isMount: statusAt(place)?.mountRoot === true });
    }
    const begun = this.#now();
    const all = [...new Set([...record.points, ...points])];
    const maps = this.#ids.mapsOwners ? undefined : (this.#ids.maps ?? record.maps);
    writeChangesRecord(this.path, { ...record, maps, layers, points: all, runs: [...record.runs, begun] });
    const made = layers.filter(
      ({ place, directory }) => places.includes(place) && this.#makeLayerOf(place, directory, rootfs),
    );
    return new Map(made.map((layer) => [layer.place, `${this.path}/${layer.directory}`]));
  }

  /** false: somebody has unmounted and removed the place since the list of mounts was read. */
  #makeLayerOf(place: string, directory: string, rootfs: string): boolean {
    try {
      this.#makeLayer(place, directory);
      return true;
    } catch (error) {
      if (place !== rootfs && hasErrno(error, "ENOENT", "ENOTDIR") && statusAt(place) === undefined)
        return false;
      throw error;
    }
  }

  /** Takes back what `begin` has made for a run that did not come to be; what there is of changes stays. */
  forget(): void {
    if (this.#known !== undefined) return;
    const record = readChangesRecord(this.path);
    const layers = record?.layers ?? [];
    const isEmpty = ({ directory }: { directory: string }) => {
      const upper = `${this.path}/${directory}/upper`;
      return statusAt(upper) === undefined || listNames(upper).length === 0;
    };
    if (!layers.every(isEmpty) || (record !== undefined && this.#directory.isInUse(record))) return;
    this.#directory.discard();
    if (this.#made) removeDirectory(this.path);
  }

  #newRecord(rootfs: string, image: string | undefined): ChangesRecord {
    return {
      format: 1,
      rootfs,
      image,
      uid: effectiveUser(),
      attributes: this.#attributes,
      layers: [],
      points: [],
      runs: [],
    };
  }

  #checkSame(record: ChangesRecord, rootfs: string): void {
    if (record.rootfs !== rootfs) throw this.#refused(`it holds changes of ${record.image ?? record.rootfs}`);
    if (record.attributes === this.#attributes) {
      const { maps, mapsOwners } = this.#ids;
      if (mapsOwners || maps === undefined || record.maps === undefined) return;
      if (Bun.deepEquals(subordinate(maps), subordinate(record.maps))) return;
      throw this.#refused("it holds changes by other subordinate ids than you have now");
    }
    throw this.#refused(
      inUserNamespace()
        ? "it holds changes of another user namespace's"
        : `it holds changes of a run with${this.#attributes === "user" ? "out" : ""} --userns auto`,
    );
  }

  /** What earlier runs have changed must be seen by this one. */
  #checkPlaces(record: ChangesRecord, places: readonly string[]): void {
    for (const { place, directory } of record.layers) {
      const upper = `${this.path}/${directory}/upper`;
      if (places.includes(place) || statusAt(upper) === undefined || listNames(upper).length === 0) continue;
      throw this.#refused(`it holds changes of ${place}, which can't be written as it was then`);
    }
    for (const place of places) {
      const above = record.layers
        .filter((layer) => layer.place !== place && isAtOrBelow(place, layer.place))
        .toSorted((one, other) => other.place.length - one.place.length)[0];
      if (above === undefined || record.layers.some((layer) => layer.place === place)) continue;
      const relative = place.slice(above.place === "/" ? 1 : above.place.length + 1);
      if (this.#isIn(above.directory, relative))
        throw this.#refused(`it holds changes of ${place}, where something is mounted since`);
    }
  }

  #isIn(directory: string, relative: string): boolean {
    try {
      using upper = openAt(this.#directory.fd, `${directory}/upper`, O.PATH | O.DIRECTORY);
      using found = openIfThere(upper, relative, O.PATH | O.NOFOLLOW);
      return found !== undefined;
    } catch (error) {
      if (hasErrno(error, "EACCES", "ELOOP")) return true;
      throw error;
    }
  }

  #makeLayer(place: string, directory: string): void {
    const path = `${this.path}/${directory}`;
    if (statusAt(`${path}/work`) !== undefined) return;
    makeDirectories(path, 0o700);
    const upper = `${path}/upper`;
    makeDirectories(upper, 0o700);
    using root = openAt(undefined, "/", O.PATH | O.DIRECTORY);
    using host = openWithoutLinks(root, place, O.PATH | O.DIRECTORY);
    using made = openAt(undefined, upper, O.RDONLY | O.DIRECTORY);
    const status = fileStatusOf(host);
    const { uid, gid, mode } = status;
    const own = fileStatusOf(made);
    if (this.#isOfOthers(status)) {
      // who makes the overlay is root in the user namespace, and can give it to them
      removeDirectory(upper);
      return;
    }
    const group = hasForeignGroup(own, status) ? own.gid : gid;
    if (own.uid !== uid || own.gid !== group) syscallOn(upper, "fchown", made.number, uid, group);
    syscallOn(upper, "fchmod", made.number, mode);
    replaceAttributes(made, takenAttributes(host, undefined));
    makeDirectory(`${path}/work`, 0o700);
  }

  /** Whether a place belongs to somebody that this user is in a user namespace alone. */
  #isOfOthers({ uid, gid }: FileStatus): boolean {
    const { maps, mapsOwners } = this.#ids;
    if (maps === undefined || mapsOwners) return false;
    return [
      [uid, effectiveUser(), maps.uidMappings] as const,
      [gid, process.getegid?.(), maps.gidMappings] as const,
    ].some(([id, own, ranges]) => id !== own && isHostIdOf(ranges, id));
  }

  /** By the clock that files' times are taken from: that of a new file. */
  #now(): readonly [number, number] {
    const path = `${this.path}/${BEGUN}now`;
    removeFile(path);
    using file = openAt(undefined, path, O.WRONLY | O.CREAT | O.EXCL, 0o600);
    removeFile(path);
    return hostFileOf(fileStatusOf(file)).changed;
  }

  #refused(why: string): HakoError {
    return new HakoError({
      code: "state",
      message: `--changes ${this.path}: ${why}`,
      hint: "apply or discard them first, or name another directory",
    });
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
  }
}

/** Without the user's own ids, of which the group may be another one each time. */
function subordinate({ uidMappings, gidMappings }: IdMaps): (readonly IdRange[])[] {
  return [uidMappings, gidMappings].map((ranges) => ranges.filter(({ containerID }) => containerID !== 0));
}
