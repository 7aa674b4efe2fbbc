import { COMMIT, VERSION } from "../../../base/hako-version";
import { statusAt } from "../../../linux/file/file";
import { userDirectory } from "../../../state/user-directory";
import { GUEST_FILES, type KernelSource, writeGuestFiles } from "./guest-files";
import { GUEST_MODULES, OF_CONTAINERS } from "./kernel-modules";
import { fileIdentity, type HeldEntry, KeyedCache, keyOfParts } from "./keyed-cache";
import { EXECUTABLE, loadedObjects } from "./shared-objects";

/** Of the files' form: another one makes all guests anew. */
const FORMAT = 3;

/** The name of a kernel's guest: another kernel, another hako or another libc make another one. */
export function guestKey({ path, modules }: KernelSource): string {
  const objects = loadedObjects().flatMap(({ content }) => ("file" in content ? [content.file] : []));
  const used = [...GUEST_MODULES, ...OF_CONTAINERS].map((name) => modules.find(name) ?? name);
  const files = [EXECUTABLE, ...objects, path, `${modules.path}/modules.order`, ...used];
  return keyOfParts([`format ${FORMAT}`, VERSION, COMMIT, ...files.map(fileIdentity)]);
}

/** A guest that stays in the cache as long as this is not disposed of. */
export interface CachedGuest extends Disposable {
  key: string;
  kernel: string;
  initramfs: string;
  image: string;
  /** Whether it was made now. */
  made: boolean;
}

/** What is in the cache. */
export interface GuestEntry {
  key: string;
  /** Of its files, in bytes. */
  size: number;
  /** When it was made, in milliseconds since 1970. */
  made: number;
}

/** Where all that machines are made from is. */
export function machinesDirectory(): string {
  return `${userDirectory("cache", "guests of machines")}/machines`;
}

/** Guests: the three files of each. */
export class GuestCache {
  readonly #cache: KeyedCache;

  constructor(directory = machinesDirectory()) {
    this.#cache = new KeyedCache(directory, "cache of guests");
  }

  get directory(): string {
    return this.#cache.directory;
  }

  /** The guest of a kernel; it is made if it is not here yet, or with `anew`. */
  guest(kernel: KernelSource, anew = false): CachedGuest {
    const make = (directory: string) => writeGuestFiles(directory, kernel);
    return this.#guestIn(this.#cache.entry(guestKey(kernel), make, anew ? Date.now() : 0));
  }

  /** The guest of a kernel, if it is here. */
  find(kernel: KernelSource): CachedGuest | undefined {
    const held = this.#cache.find(guestKey(kernel));
    return held && this.#guestIn(held);
  }

  #guestIn(held: HeldEntry): CachedGuest {
    const place = (file: keyof typeof GUEST_FILES) => `${held.path}/${GUEST_FILES[file]}`;
    return {
      key: held.key,
      kernel: place("kernel"),
      initramfs: place("initramfs"),
      image: place("image"),
      made: held.isNew,
      [Symbol.dispose]: () => held[Symbol.dispose](),
    };
  }

  list(): GuestEntry[] {
    return this.#cache.list().map(({ key, path, made }) => {
      const sizes = Object.values(GUEST_FILES).map((file) => statusAt(`${path}/${file}`)?.size ?? 0);
      return { key, size: sizes.reduce((sum, each) => sum + each, 0), made };
    });
  }
}
