import { HakoError } from "../../../base/errors";
import { textOf } from "../../../linux/call/bytes";
import { readFormat } from "../../../linux/file/executable";
import { linkText, readBytes, readText } from "../../../linux/file/file";
import { basename } from "../../../linux/file/path-text";
import type { ImageFile } from "./erofs";

/** Where shared objects are in the guest: LD_LIBRARY_PATH of its first process. */
export const LIBRARIES = "/lib";
export const EXECUTABLE = "/proc/self/exe";
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const DT_STRTAB = 5n;
const DT_SONAME = 14n;

/** A line of /proc/PID/maps that has code of a file: "7f0…-7f1… r-xp 00026000 fe:00 1234   /usr/lib/libc.so.6". */
const MAPPED_CODE = /^\S+ r-xp \S+ \S+ [1-9]\d* +(\/.*)$/gm;

/** The files whose code is in this process's memory, without its executable. */
export function mappedObjects(maps: string, executable: string): string[] {
  const paths = [...maps.matchAll(MAPPED_CODE)].map(([, path = ""]) => path);
  // what has no file any more can't be an object that a loader has found
  return [...new Set(paths)].filter((path) => path !== executable && !path.endsWith(" (deleted)"));
}

/**
 * The loader and the shared objects of this process, for the same executable in an image: those that it has loaded, at whatever paths of
 * this distribution's.
 */
export function loadedObjects(): ImageFile[] {
  const format = readFormat(EXECUTABLE);
  if (format?.kind !== "elf" || format.loader === undefined)
    throw new HakoError({ code: "unsupported", message: "hako's own executable has no loader" });
  const objects = mappedObjects(readText("/proc/self/maps"), linkText(EXECUTABLE));
  const libraries = objects.map((file): ImageFile => {
    const name = sharedObjectName(readBytes(file)) ?? basename(file);
    return { path: `${LIBRARIES}/${name}`, mode: 0o755, content: { file } };
  });
  const loader = { path: format.loader, mode: 0o755, content: { file: format.loader } };
  return [...libraries.filter(({ path }) => path !== loader.path), loader];
}

/** DT_SONAME of a 64-bit little-endian shared object (elf(5)): the name by which others ask for it. */
export function sharedObjectName(bytes: Uint8Array): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const number = (at: number) => Number(view.getBigUint64(at, true));
  const headers = Array.from({ length: view.getUint16(56, true) }, (_, index) => {
    const at = number(32) + index * view.getUint16(54, true);
    return {
      type: view.getUint32(at, true),
      offset: number(at + 8),
      address: number(at + 16),
      size: number(at + 32),
    };
  });
  const dynamic = headers.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) return undefined;
  const tags = new Map<bigint, number>();
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.size; at += 16)
    tags.set(view.getBigUint64(at, true), number(at + 8));
  const [texts, name] = [tags.get(DT_STRTAB), tags.get(DT_SONAME)];
  if (texts === undefined || name === undefined) return undefined;
  const part = headers.find(
    ({ type, address, size }) => type === PT_LOAD && texts >= address && texts < address + size,
  );
  if (part === undefined) return undefined;
  const start = texts - part.address + part.offset + name;
  return textOf(bytes.subarray(start, bytes.indexOf(0, start)));
}
