import { HakoError } from "../../../base/errors";
import { readBytes, statusAt, tryReadText } from "../../../linux/file/file";
import { basename } from "../../../linux/file/path-text";
import { unpackedBytes } from "./unpack-bytes";

/** What the guest needs of its kernel: the bus, the disk, the ports, and the file system of its image. */
export const GUEST_MODULES = ["virtio_pci", "virtio_blk", "virtio_console", "erofs"] as const;

/**
 * What containers need of it, by how they have the host's files: "private" those that they read, and what takes their writes, "shared" those that
 * they write; and for a network. A kernel without them makes machines, but no such containers.
 */
export const CONTAINER_MODULES = {
  private: ["9pnet_virtio", "9p", "overlay"],
  shared: ["virtiofs"],
  network: ["virtio_net"],
} as const;

export const OF_CONTAINERS: readonly string[] = Object.values(CONTAINER_MODULES).flat();

/** How distributions compress modules. */
const SUFFIXES = ["", ".zst", ".xz", ".gz"] as const;

/** A module that is to be loaded. */
export interface KernelModule {
  name: string;
  path: string;
}

/** Modules of a kernel, in `/lib/modules/RELEASE` or where that was unpacked. */
export class ModuleDirectory {
  readonly #paths: ReadonlyMap<string, string>;
  readonly #builtIn: ReadonlySet<string>;

  constructor(readonly path: string) {
    const listed = (file: string) =>
      (tryReadText(`${path}/${file}`) ?? "").split("\n").filter((line) => line.includes(".ko"));
    // both are there before depmod(8) has run: a package that is only unpacked has no modules.dep
    this.#paths = new Map(listed("modules.order").map((line) => [nameOfModule(line), line]));
    this.#builtIn = new Set(listed("modules.builtin").map(nameOfModule));
    if (this.#paths.size === 0)
      throw new HakoError({ code: "not-found", message: `${path} has no modules.order`, path });
  }

  /** The file of a module; undefined of one that is a part of the kernel, or is not there. */
  find(name: string): string | undefined {
    const listed = this.#paths.get(name);
    if (listed === undefined) return undefined;
    const file = `${this.path}/${listed.replace(/\.ko\.\w+$/, ".ko")}`;
    return SUFFIXES.map((suffix) => file + suffix).find((path) => statusAt(path) !== undefined);
  }

  /** Which of these modules are neither here nor built in. */
  lacking(names: readonly string[]): string[] {
    return names.filter((name) => this.find(name) === undefined && !this.isBuiltIn(name));
  }

  isBuiltIn(name: string): boolean {
    return this.#builtIn.has(name);
  }
}

function nameOfModule(path: string): string {
  return basename(path.trim())
    .replace(/\.ko(\.\w+)?$/, "")
    .replaceAll("-", "_");
}

/** What a module needs, by its own words (.modinfo): other modules, and what is good to have before it. */
export function neededBy(module: Uint8Array): { modules: string[]; before: string[] } {
  const text = Buffer.from(module.buffer, module.byteOffset, module.length).toString("latin1");
  const field = (name: string) =>
    [...text.matchAll(new RegExp(`\\0${name}=([^\\0]*)\\0`, "g"))].map(([, value = ""]) => value).join(" ");
  const words = (value: string) => value.split(/[\s,]+/).filter((word) => word !== "");
  const soft = / ?pre: *(.*?)(?= ?post:|$)/.exec(field("softdep"))?.[1] ?? "";
  const names = (value: string) => words(value).map((name) => name.replaceAll("-", "_"));
  return { modules: names(field("depends")), before: names(soft) };
}

/** Modules, and those that they need, in the order in which they are loaded, with their bytes; throws for one that is not there. */
export function modulesToLoad(
  directory: ModuleDirectory,
  wanted: readonly string[] = GUEST_MODULES,
): { module: KernelModule; bytes: Uint8Array }[] {
  const found: { module: KernelModule; bytes: Uint8Array }[] = [];
  const seen = new Set<string>();
  const load = (name: string, needed: boolean): void => {
    if (seen.has(name)) return;
    seen.add(name);
    const path = directory.find(name);
    if (path === undefined) {
      if (!needed || directory.isBuiltIn(name)) return;
      throw new HakoError({
        code: "not-found",
        message: `${directory.path} has no module ${name}, and the kernel has it not built in`,
      });
    }
    const bytes = unpackedBytes(readBytes(path));
    const { modules, before } = neededBy(bytes);
    for (const each of modules) load(each, true);
    // the word is an alias often: of crc32c the module is crc32c_generic
    for (const each of before) for (const one of [each, `${each}_generic`]) load(one, false);
    found.push({ module: { name, path }, bytes });
  };
  for (const name of wanted) load(name, true);
  return found;
}
