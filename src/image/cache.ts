import { asHakoError, HakoError } from "../base/errors";
import { UndoStack } from "../base/undo";
import { LOCK } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import {
  hasErrno,
  listNames,
  makeDirectories,
  makeDirectory,
  removeFile,
  removeTree,
  renameFile,
  statusAt,
  tryReadText,
  writeText,
} from "../linux/file/file";
import { join } from "../linux/file/path-text";
import { isRootless } from "../linux/process/rootless";
import type { IdMaps } from "../linux/process/subordinate-ids";
import { logWarning } from "../output/log";
import { lockFile, tryLockFile } from "../state/file-lock";
import { checkWay } from "../state/trusted-path";
import { userDirectory } from "../state/user-directory";
import { parseDigest } from "./digest";
import type { ImageConfig } from "./documents";
import { Progress } from "./progress";
import type { ImageReference } from "./reference";
import { sourceKey } from "./source";
import { DirectoryStore } from "./store";
import { imageOfLayout, type Unpacked, type Unpacking, unpackArchive, unpackLayout } from "./unpack";

/**
 * Unpacked images: `<cache>/sha256-HEX/rootfs`, with `image.json` beside it; an ordinary user's with several owners are `sha256-HEX.MAPS`. What is being unpacked is in `NAME.tmp`, and becomes an image by
 * a rename; who has locked `NAME.lock` owns it. `sources` has the images of archives by the archives' places, so that an archive is read
 * once.
 */

/** Loaded on first use. */
const rare = {
  /** For files of several owners, which an ordinary user makes. */
  get inNamespace() {
    return require("./in-namespace") as typeof import("./in-namespace");
  },
};

const IMAGE = "image.json";
/** Beside what was unpacked with several owners: the maps of the user namespace that they are owners in. */
const MAPS = "maps.json";
const TEMPORARY = ".tmp";
const LOCKED = ".lock";
const SOURCES = "sources";
const FORMAT = 1;

/** What `image.json` says. */
interface ImageRecord {
  format: number;
  id: string;
  /** What it was unpacked from. */
  source: string;
  /** When, in milliseconds since 1970. */
  unpacked: number;
  /** Of its files, in bytes. */
  size: number;
  config?: ImageConfig | undefined;
}

/** An image in the list of those that are here. */
export interface ListedImage extends ImageRecord {
  /** Its directory's. */
  name: string;
  /** Of its files: as the image says, or this user alone. */
  owners: "several" | "one";
  inUse: boolean;
}

/** An image that stays in the cache as long as this is not disposed of. */
export class CachedImage {
  constructor(
    readonly record: ImageRecord,
    /** Absolute. */
    readonly rootfs: string,
    readonly hold: Fd,
  ) {}

  [Symbol.dispose](): void {
    this.hold.close();
  }
}

/** Where images are kept. */
export function cacheDirectory(): string {
  return `${userDirectory("cache", "unpacked images")}/images`;
}

export class ImageCache {
  readonly #directory = cacheDirectory();
  readonly #maps: IdMaps | undefined;
  /** Ends the names of images that are unpacked with these maps. */
  readonly #suffix: string;

  /** With maps of a user namespace the files of images have several owners; without, as this process can set them. */
  constructor(maps?: IdMaps) {
    this.#maps = maps;
    this.#suffix = maps === undefined ? "" : suffixOf(maps);
  }

  /** Opens it to be changed; makes what is missing. */
  #open(): void {
    checkWay("image cache", this.#directory);
    makeDirectories(join(this.#directory, SOURCES), 0o700);
    checkWay("image cache", this.#directory);
  }

  /** Whether images were unpacked with these maps. */
  get isUsed(): boolean {
    if (statusAt(this.#directory) === undefined) return false;
    return listNames(this.#directory).some((name) => name.startsWith("sha") && name.endsWith(this.#suffix));
  }

  /** The image that a reference names; it is unpacked if it is not here yet. */
  async image(reference: ImageReference): Promise<CachedImage> {
    this.#open();
    return reference.kind === "layout" ? await this.#ofLayout(reference) : await this.#ofArchive(reference);
  }

  async #ofLayout(reference: ImageReference): Promise<CachedImage> {
    using store = new DirectoryStore(reference.path);
    const found = imageOfLayout(store, reference);
    const known = this.#known(found.id);
    if (known !== undefined) return known;
    const name = `layout-${nameOf(found.id)}${this.#suffix}`;
    return await this.#unpacked(
      name,
      reference,
      () => this.#known(found.id),
      (directory, how) => unpackLayout(found, directory, how),
    );
  }

  async #ofArchive(reference: ImageReference): Promise<CachedImage> {
    const source = sourceKey(reference);
    const file = join(this.#directory, SOURCES, source);
    const remembered = () => {
      const id = tryReadText(file)?.trim();
      return id === undefined || id === "" ? undefined : this.#known(id);
    };
    const known = remembered();
    if (known !== undefined) return known;
    const name = `source-${source}${this.#suffix}`;
    const image = await this.#unpacked(name, reference, remembered, (directory, how) =>
      unpackArchive(reference, directory, how),
    );
    // an archive that was written to meanwhile is read again next time
    if (sourceKey(reference) === source) writeText(file, `${image.record.id}\n`, 0o600);
    return image;
  }

  /** Unpacks what another command is not unpacking already; of several that are called at once one does, and the others wait. */
  async #unpacked(
    name: string,
    { text }: ImageReference,
    known: () => CachedImage | undefined,
    unpack: (directory: string, how: Unpacking) => Promise<Unpacked>,
  ): Promise<CachedImage> {
    using _ = lockFile(this.#lockPath(name), LOCK.EX);
    const meanwhile = known();
    if (meanwhile !== undefined) return meanwhile;
    this.#removeLeft();
    const temporary = join(this.#directory, name + TEMPORARY);
    removeUnpacked(temporary);
    using undo = new UndoStack((error) => logWarning(error.oneLine));
    undo.defer(temporary, () => removeUnpacked(temporary));
    undo.defer(`lock of ${name}`, () => removeFile(this.#lockPath(name)));
    makeDirectory(temporary, 0o700);
    const { id, config, size } = await this.#unpackInto(temporary, text, unpack);
    const record: ImageRecord = { format: FORMAT, id, source: text, unpacked: Date.now(), size, config };
    writeText(join(temporary, IMAGE), `${JSON.stringify(record)}\n`, 0o600);
    const image = this.#keep(id, temporary);
    undo.commit();
    removeFile(this.#lockPath(name));
    return image;
  }

  async #unpackInto(
    directory: string,
    text: string,
    unpack: (directory: string, how: Unpacking) => Promise<Unpacked>,
  ): Promise<Unpacked> {
    if (this.#maps !== undefined) {
      // before the first file: whoever removes it has to know them
      writeText(join(directory, MAPS), `${JSON.stringify(this.#maps)}\n`, 0o600);
      return rare.inNamespace.unpackInside(this.#maps, text, directory);
    }
    using progress = new Progress(text);
    return await unpack(directory, { progress, keepsOwners: !isRootless() });
  }

  #keep(id: string, temporary: string): CachedImage {
    const name = nameOf(id) + this.#suffix;
    const place = join(this.#directory, name);
    const hold = this.#hold(name);
    try {
      renameFile(temporary, place);
    } catch (error) {
      hold.close();
      // the same image, unpacked from somewhere else
      if (!hasErrno(error, "EEXIST", "ENOTEMPTY")) throw error;
      removeUnpacked(temporary);
    }
    hold.close();
    const image = this.#known(id);
    if (image === undefined)
      throw new HakoError({ code: "state", message: `image ${id} was removed meanwhile` });
    return image;
  }

  #hold(name: string): Fd {
    return lockFile(this.#lockPath(name), LOCK.SH);
  }

  #known(id: string): CachedImage | undefined {
    const name = nameOf(id) + this.#suffix;
    const place = join(this.#directory, name);
    if (statusAt(place) === undefined) return undefined;
    const hold = this.#hold(name);
    const record = this.#recordOf(name);
    if (record !== undefined) return new CachedImage(record, join(place, "rootfs"), hold);
    hold.close();
    return undefined;
  }

  #recordOf(name: string): ImageRecord | undefined {
    const text = tryReadText(join(this.#directory, name, IMAGE));
    if (text === undefined) return undefined;
    const record = JSON.parse(text) as ImageRecord;
    return record.format === FORMAT ? record : undefined;
  }

  #lockPath(name: string): string {
    return join(this.#directory, name + LOCKED);
  }

  /** Removes what commands have left that were killed. */
  #removeLeft(): void {
    for (const each of listNames(this.#directory)) {
      if (!each.endsWith(TEMPORARY)) continue;
      const name = each.slice(0, -TEMPORARY.length);
      using lock = tryLockFile(this.#lockPath(name), LOCK.EX | LOCK.NB);
      if (lock === undefined) continue;
      try {
        removeUnpacked(join(this.#directory, each));
        removeFile(this.#lockPath(name));
      } catch (error) {
        // the user has lost the ids that own its files, perhaps: others can be unpacked all the same
        logWarning(asHakoError(error).oneLine);
      }
    }
  }

  /** The images that are here, by the time when they were unpacked. */
  list(): ListedImage[] {
    if (statusAt(this.#directory) === undefined) return [];
    checkWay("image cache", this.#directory);
    const names = listNames(this.#directory).filter((name) => IMAGE_NAME.test(name));
    const used = imagesInUse();
    return names
      .flatMap((name) => {
        const record = this.#recordOf(name);
        return record === undefined ? [] : { ...record, name, owners: ownersOf(name), inUse: used.has(name) };
      })
      .sort((one, other) => one.unpacked - other.unpacked);
  }

  /** The image that an id, its beginning, or a source names: with one owner, with several, or both. */
  find(text: string): ListedImage[] {
    const hex = text.replace(/^sha256:/, "");
    const images = this.list();
    const exact = images.filter(({ source }) => source === text);
    const found =
      exact.length > 0
        ? exact
        : images.filter(({ id }) => /^[0-9a-f]{4,}$/.test(hex) && id.replace(/^\w+:/, "").startsWith(hex));
    const ids = new Set(found.map(({ id }) => id));
    if (ids.size === 0)
      throw new HakoError({
        code: "not-found",
        message: `no image ${JSON.stringify(text)}`,
        hint: "hako image list shows them",
      });
    if (ids.size > 1)
      throw HakoError.usage(`${JSON.stringify(text)} names ${ids.size} images`, "more of the id's digits");
    return found;
  }

  /** Removes an image that no container uses; false if one does. */
  remove({ id, name }: ListedImage): boolean {
    using lock = tryLockFile(this.#lockPath(name), LOCK.EX | LOCK.NB);
    if (lock === undefined || imagesInUse().has(name)) return false;
    const temporary = join(this.#directory, name + TEMPORARY);
    renameFile(join(this.#directory, name), temporary);
    removeUnpacked(temporary);
    for (const source of listNames(join(this.#directory, SOURCES))) {
      const path = join(this.#directory, SOURCES, source);
      if (tryReadText(path)?.trim() === id) removeFile(path);
    }
    removeFile(this.#lockPath(name));
    return true;
  }

  /** Removes what killed commands have left, and each image that no container uses: those. */
  prune(): ImageRecord[] {
    const images = this.list();
    if (statusAt(this.#directory) === undefined) return [];
    this.#removeLeft();
    return images.filter((image) => this.remove(image));
  }
}

const IMAGE_NAME = /^sha(256|512)-[0-9a-f]+(\.[0-9a-f]+)?$/;

/** Root sets owners as they are; an ordinary user where the name says in which maps. */
function ownersOf(name: string): ListedImage["owners"] {
  return name.includes(".") || !isRootless() ? "several" : "one";
}

function suffixOf(maps: IdMaps): string {
  return `.${new Bun.CryptoHasher("sha256").update(JSON.stringify(maps)).digest("hex").slice(0, 8)}`;
}

/** Removes a directory in which an image was unpacked; files of several owners as the root of their user namespace. */
function removeUnpacked(directory: string): void {
  const maps = tryReadText(join(directory, MAPS));
  const rootfs = join(directory, "rootfs");
  if (maps !== undefined && statusAt(rootfs) !== undefined)
    rare.inNamespace.removeInside(JSON.parse(maps) as IdMaps, rootfs);
  removeTree(directory);
}

function nameOf(id: string): string {
  const { algorithm, hex } = parseDigest(id);
  return `${algorithm}-${hex}`;
}

/** The names of images that are the lower directory of an overlay in some process's mount namespace. */
function imagesInUse(): Set<string> {
  const used = new Set<string>();
  for (const pid of listNames("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const mounts = tryReadText(`/proc/${pid}/mountinfo`) ?? "";
    for (const [, name = ""] of mounts.matchAll(/lowerdir=[^,]*\/(sha\d+-[0-9a-f.]+)\/rootfs/g))
      used.add(name);
  }
  return used;
}
