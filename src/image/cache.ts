import { HakoError } from "../base/errors";
import { UndoStack } from "../base/undo";
import { LOCK, O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { syscallOn, trySyscall } from "../linux/call/syscall";
import { callerVariable } from "../linux/file/caller-environment";
import {
  hasErrno,
  isStillAt,
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
import { openAt } from "../linux/file/path";
import { join } from "../linux/file/path-text";
import type { FileStatus } from "../linux/file/stat";
import { effectiveUser } from "../linux/process/rootless";
import { logWarning } from "../output/log";
import { checkWay } from "../state/trusted-path";
import { parseDigest } from "./digest";
import type { ImageConfig } from "./documents";
import { Progress } from "./progress";
import type { ImageReference } from "./reference";
import { DirectoryStore } from "./store";
import { imageOfLayout, type Unpacked, unpackArchive, unpackLayout } from "./unpack";

/**
 * Unpacked images: `<cache>/sha256-HEX/rootfs`, with `image.json` beside it. What is being unpacked is in `NAME.tmp`, and becomes an image by
 * a rename; who has locked `NAME.lock` owns it. `sources` has the images of archives by the archives' places, so that an archive is read
 * once.
 */

const IMAGE = "image.json";
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

/** Where images are kept: of the user's caches (XDG Base Directory Specification), or of the system's. */
export function cacheDirectory(): string {
  const given = callerVariable("XDG_CACHE_HOME");
  if (given?.startsWith("/")) return `${given}/hako/images`;
  if (effectiveUser() === 0) return "/var/cache/hako/images";
  const home = callerVariable("HOME");
  if (home?.startsWith("/")) return `${home}/.cache/hako/images`;
  throw new HakoError({
    code: "state",
    message: "no place for unpacked images: neither XDG_CACHE_HOME nor HOME is set",
    hint: "XDG_CACHE_HOME=DIR names one",
  });
}

/** Unpacks an image into `directory`/rootfs, past the cache. */
export async function unpackReference(reference: ImageReference, directory: string): Promise<Unpacked> {
  using progress = new Progress(reference.text);
  if (reference.kind === "archive") {
    // as for the cache: a file that is not there has its own error
    sourceOf(reference);
    return await unpackArchive(reference, directory, progress);
  }
  using store = new DirectoryStore(reference.path);
  return await unpackLayout(imageOfLayout(store, reference), directory, progress);
}

export class ImageCache {
  readonly #directory: string;

  constructor(directory = cacheDirectory()) {
    this.#directory = directory;
  }

  /** Opens it to be changed; makes what is missing. */
  #open(): void {
    checkWay("image cache", this.#directory);
    makeDirectories(join(this.#directory, SOURCES), 0o700);
    checkWay("image cache", this.#directory);
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
    const name = `layout-${nameOf(found.id)}`;
    return await this.#unpacked(
      name,
      reference,
      () => this.#known(found.id),
      (directory, progress) => unpackLayout(found, directory, progress),
    );
  }

  async #ofArchive(reference: ImageReference): Promise<CachedImage> {
    const source = sourceOf(reference);
    const file = join(this.#directory, SOURCES, source);
    const remembered = () => {
      const id = tryReadText(file)?.trim();
      return id === undefined || id === "" ? undefined : this.#known(id);
    };
    const known = remembered();
    if (known !== undefined) return known;
    const image = await this.#unpacked(`source-${source}`, reference, remembered, (directory, progress) =>
      unpackArchive(reference, directory, progress),
    );
    // an archive that was written to meanwhile is read again next time
    if (sourceOf(reference) === source) writeText(file, `${image.record.id}\n`, 0o600);
    return image;
  }

  /** Unpacks what another command is not unpacking already; of several that are called at once one does, and the others wait. */
  async #unpacked(
    name: string,
    { text }: ImageReference,
    known: () => CachedImage | undefined,
    unpack: (directory: string, progress: Progress) => Promise<Unpacked>,
  ): Promise<CachedImage> {
    using lock = this.#lock(name, LOCK.EX);
    if (lock === undefined) throw new Error("a lock that is waited for");
    const meanwhile = known();
    if (meanwhile !== undefined) return meanwhile;
    this.#removeLeft();
    const temporary = join(this.#directory, name + TEMPORARY);
    removeTree(temporary);
    using undo = new UndoStack((error) => logWarning(error.oneLine));
    undo.defer(temporary, () => removeTree(temporary));
    undo.defer(`lock of ${name}`, () => removeFile(join(this.#directory, name + LOCKED)));
    makeDirectory(temporary, 0o700);
    using progress = new Progress(text);
    const { id, config, size } = await unpack(temporary, progress);
    const record: ImageRecord = { format: FORMAT, id, source: text, unpacked: Date.now(), size, config };
    writeText(join(temporary, IMAGE), `${JSON.stringify(record)}\n`, 0o600);
    const image = this.#keep(id, temporary);
    undo.commit();
    removeFile(join(this.#directory, name + LOCKED));
    return image;
  }

  #keep(id: string, temporary: string): CachedImage {
    const place = join(this.#directory, nameOf(id));
    const hold = this.#hold(id);
    try {
      renameFile(temporary, place);
    } catch (error) {
      hold.close();
      // the same image, unpacked from somewhere else
      if (!hasErrno(error, "EEXIST", "ENOTEMPTY")) throw error;
      removeTree(temporary);
    }
    hold.close();
    const image = this.#known(id);
    if (image === undefined)
      throw new HakoError({ code: "state", message: `image ${id} was removed meanwhile` });
    return image;
  }

  #hold(id: string): Fd {
    const hold = this.#lock(nameOf(id), LOCK.SH);
    if (hold === undefined) throw new Error("a lock that is waited for");
    return hold;
  }

  #known(id: string): CachedImage | undefined {
    const place = join(this.#directory, nameOf(id));
    if (statusAt(place) === undefined) return undefined;
    const hold = this.#hold(id);
    const record = this.#recordOf(nameOf(id));
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

  /** Takes a lock, and waits for it unless it is `LOCK.NB`: undefined then if another command has it. */
  #lock(name: string, kind: number): Fd | undefined {
    const path = join(this.#directory, name + LOCKED);
    for (;;) {
      const file = openAt(undefined, path, O.RDWR | O.CREAT | O.NOFOLLOW, 0o600);
      const result = trySyscall("flock", file.number, kind);
      if (result < 0 && (kind & LOCK.NB) !== 0) {
        file.close();
        return undefined;
      }
      if (result < 0) syscallOn(path, "flock", file.number, kind);
      // its owner may have removed it
      if (isStillAt(path, file)) return file;
      file.close();
    }
  }

  /** Removes what commands have left that were killed. */
  #removeLeft(): void {
    for (const each of listNames(this.#directory)) {
      if (!each.endsWith(TEMPORARY)) continue;
      const name = each.slice(0, -TEMPORARY.length);
      using lock = this.#lock(name, LOCK.EX | LOCK.NB);
      if (lock === undefined) continue;
      removeTree(join(this.#directory, each));
      removeFile(join(this.#directory, name + LOCKED));
    }
  }

  /** The images that are here, by the time when they were unpacked. */
  list(): (ImageRecord & { inUse: boolean })[] {
    if (statusAt(this.#directory) === undefined) return [];
    checkWay("image cache", this.#directory);
    const names = listNames(this.#directory).filter((name) => IMAGE_NAME.test(name));
    const used = imagesInUse();
    return names
      .flatMap((name) => this.#recordOf(name) ?? [])
      .map((record) => ({ ...record, inUse: used.has(nameOf(record.id)) }))
      .sort((one, other) => one.unpacked - other.unpacked);
  }

  /** The image that an id, its beginning, or a source names. */
  find(text: string): ImageRecord {
    const hex = text.replace(/^sha256:/, "");
    const images = this.list();
    const exact = images.filter(({ source }) => source === text);
    const found =
      exact.length > 0
        ? exact
        : images.filter(({ id }) => /^[0-9a-f]{4,}$/.test(hex) && id.replace(/^\w+:/, "").startsWith(hex));
    const [image, ...more] = found;
    if (image === undefined)
      throw new HakoError({
        code: "not-found",
        message: `no image ${JSON.stringify(text)}`,
        hint: "hako image list shows them",
      });
    if (more.length > 0)
      throw HakoError.usage(
        `${JSON.stringify(text)} names ${found.length} images`,
        "more of the id's digits",
      );
    return image;
  }

  /** Removes an image that no container uses; false if one does. */
  remove({ id }: { id: string }): boolean {
    const name = nameOf(id);
    using lock = this.#lock(name, LOCK.EX | LOCK.NB);
    if (lock === undefined || imagesInUse().has(name)) return false;
    const temporary = join(this.#directory, name + TEMPORARY);
    renameFile(join(this.#directory, name), temporary);
    removeTree(temporary);
    for (const source of listNames(join(this.#directory, SOURCES))) {
      const path = join(this.#directory, SOURCES, source);
      if (tryReadText(path)?.trim() === id) removeFile(path);
    }
    removeFile(join(this.#directory, name + LOCKED));
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

const IMAGE_NAME = /^sha(256|512)-[0-9a-f]+$/;

function nameOf(id: string): string {
  const { algorithm, hex } = parseDigest(id);
  return `${algorithm}-${hex}`;
}

/** What an archive is known by: its file as it is now, and which of its images. */
function sourceOf({ path, tag, text }: ImageReference): string {
  const status = statusAt(path);
  if (status === undefined)
    throw new HakoError({ code: "config", message: `${text} does not exist`, errno: "ENOENT", path });
  const { inode, size, device, modified, changed }: FileStatus = status;
  const parts = [device, inode, size, ...modified, ...changed, tag ?? ""];
  return new Bun.CryptoHasher("sha256").update(parts.join("\n")).digest("hex").slice(0, 40);
}

/** The names of images that are the lower directory of an overlay in some process's mount namespace. */
function imagesInUse(): Set<string> {
  const used = new Set<string>();
  for (const pid of listNames("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const mounts = tryReadText(`/proc/${pid}/mountinfo`) ?? "";
    for (const [, name = ""] of mounts.matchAll(/lowerdir=[^,]*\/(sha\d+-[0-9a-f]+)\/rootfs/g))
      used.add(name);
  }
  return used;
}
