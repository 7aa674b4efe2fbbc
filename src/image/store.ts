import { O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { FdList } from "../linux/call/fd";
import { hasErrno } from "../linux/file/file";
import { openAt, openInRoot } from "../linux/file/path";
import { cleanPath, dirname } from "../linux/file/path-text";
import { fileStatusOf } from "../linux/file/stat";
import type { Blob } from "./blob";
import { readBlob } from "./blob";
import { type TarEntry, TarParser } from "./tar";
import { wrongArchive } from "./wrong";

/** Files of an image by their names: a directory's, or an archive's. */
export interface ImageStore {
  /** undefined if there is none of that name. */
  find(name: string): Blob | undefined;
}

/** A directory. Links are followed in it alone, and nothing but files is opened to be read. */
export class DirectoryStore implements ImageStore {
  readonly #root: Fd;
  readonly #files = new FdList();

  constructor(path: string) {
    this.#root = openAt(undefined, path, O.PATH | O.DIRECTORY);
  }

  [Symbol.dispose](): void {
    this.#root.close();
    this.#files[Symbol.dispose]();
  }

  find(name: string): Blob | undefined {
    let file: Fd;
    try {
      using place = openInRoot(this.#root, `/${name}`, O.PATH);
      if (fileStatusOf(place).type !== "file") throw wrongArchive(`${name} is not a file`);
      file = openAt(undefined, place.path, O.RDONLY | O.NONBLOCK);
    } catch (error) {
      if (hasErrno(error, "ENOENT", "ENOTDIR")) return undefined;
      throw error;
    }
    this.#files.add(file);
    return { file, name, offset: 0, size: fileStatusOf(file).size };
  }
}

/** Files that an archive of images has: in their own folders, or at its top. */
const OF_IMAGES = /^(oci-layout|(blobs\/[^/]+\/)?[^/]+|[^/]+\/[^/]+)$/;
/** An archive that has more of them is a root file system. */
const MOST_FILES = 100_000;
const MOST_LINKS = 8;

/** An uncompressed tar archive whose files are read where they are. */
export class ArchiveStore implements ImageStore {
  readonly #archive: Blob;
  readonly #files = new Map<string, { offset: number; size: number } | { target: string }>();

  private constructor(archive: Blob) {
    this.#archive = archive;
  }

  /** Reads it once, to its end. */
  static async read(archive: Blob, onRead: (bytes: number) => void): Promise<ArchiveStore> {
    const store = new ArchiveStore(archive);
    const parser: TarParser = new TarParser({
      begin: (entry) => store.#add(entry, parser.offset),
      data() {},
      end() {},
    });
    await readBlob(archive, onRead, { stored() {}, content: (bytes) => parser.write(bytes) });
    parser.close();
    return store;
  }

  #add({ name, type, target, size }: TarEntry, offset: number): void {
    const place = cleanPath(name).slice(1);
    if (!OF_IMAGES.test(place) || this.#files.size > MOST_FILES) return;
    if (type === "file") this.#files.set(place, { offset, size });
    // docker saves a layer that several images have once
    else if (type === "symlink")
      this.#files.set(place, { target: cleanPath(`${dirname(place)}/${target}`).slice(1) });
    else if (type === "link") this.#files.set(place, { target: cleanPath(target).slice(1) });
  }

  find(name: string): Blob | undefined {
    let place = cleanPath(name).slice(1);
    for (let links = 0; links < MOST_LINKS; links++) {
      const found = this.#files.get(place);
      if (found === undefined) return undefined;
      if ("size" in found) {
        const offset = this.#archive.offset + found.offset;
        return { file: this.#archive.file, name, offset, size: found.size };
      }
      place = found.target;
    }
    throw wrongArchive(`${name}: links in a circle`);
  }
}
