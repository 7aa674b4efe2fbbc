import { concatenated, textOf } from "../linux/call/bytes";
import { LIMIT } from "../linux/call/constants";

/**
 * Repositories in a repository (gitsubmodules(7)). `git status` of the outer one goes into each that its index has as a link, and takes commands from
 * that one's settings, as core.fsmonitor: whoever has one made has git execute what he likes.
 */

/** gitformat-index(5): "DIRC", a version, a number of entries. */
const SIGNATURE = 0x44495243;
const HEADER_SIZE = 12;
/** An entry up to its object's name, and the two bytes of flags behind that. */
const [MODE_AT, OBJECT_AT, FLAGS_SIZE] = [24, 40, 2];
const EXTENDED = 0x4000;
/** Of the flags: how long the name is, or that it is longer. */
const NAME_LENGTH = 0xfff;
const LINK = 0o160000;
const MODES: ReadonlySet<number> = new Set([0o100644, 0o100755, 0o120000, 0o040000, LINK]);
/** A name, and a size, in front of what an extension has. */
const EXTENSION_SIZE = 8;
/** "EOIE", "IEOT". */
const EXTENSION = { endOfEntries: 0x454f4945, blocks: 0x49454f54 } as const;
/** More links than any project has: what is made by thousands is made to be slow. */
const MOST_LINKS = 1000;
/** A number of 32 bits has no more bytes. */
const MOST_DIGITS = 5;

/** The paths of submodules that a .gitmodules names, below the directory that it is in. */
export function submodulePaths(text: string): string[] {
  const rows = text.matchAll(/^[\t ]*path[\t ]*=[\t ]*"?([^\n"]+?)"?[\t ]*$/gim);
  return [...rows].map(([, path = ""]) => path);
}

/** How many bytes the name of an object has in a repository with this `config`: SHA-1's, or SHA-256's. */
export function objectSize(config: string): number {
  return /^[\t ]*objectformat[\t ]*=[\t ]*"?sha256\b/im.test(config) ? 32 : 20;
}

/**
 * The paths of links to other repositories in an index. undefined of what git doesn't write: a program has made it, and git could read it in another
 * way than this does.
 */
export function gitLinks(index: Uint8Array, size: number): string[] | undefined {
  const view = new DataView(index.buffer, index.byteOffset, index.byteLength);
  if (index.length < HEADER_SIZE || view.getUint32(0) !== SIGNATURE) return undefined;
  const version = view.getUint32(4);
  if (version < 2 || version > 4) return undefined;
  const found: string[] = [];
  const starts: number[] = [];
  let name: Uint8Array = new Uint8Array();
  let at = HEADER_SIZE;
  for (let left = view.getUint32(8); left > 0; left--) {
    starts.push(at);
    const flagsAt = at + OBJECT_AT + size;
    if (flagsAt + FLAGS_SIZE > index.length) return undefined;
    const [mode, flags] = [view.getUint32(at + MODE_AT), view.getUint16(flagsAt)];
    const isExtended = (flags & EXTENDED) !== 0;
    if (!MODES.has(mode) || (isExtended && version === 2)) return undefined;
    let nameAt = flagsAt + FLAGS_SIZE + (isExtended ? 2 : 0);
    let kept = 0;
    if (version === 4) {
      const [removed, behind] = variableLength(index, nameAt);
      if (removed > name.length) return undefined;
      kept = name.length - removed;
      nameAt = behind;
    }
    const end = index.indexOf(0, nameAt);
    const length = kept + end - nameAt;
    // a file's name isn't longer
    if (end < 0 || length >= LIMIT.PATH_MAX) return undefined;
    if ((flags & NAME_LENGTH) !== Math.min(length, NAME_LENGTH)) return undefined;
    name = concatenated([name.subarray(0, kept), index.subarray(nameAt, end)]);
    if (mode === LINK) {
      const link = textOf(name);
      if (!isInside(link) || found.push(link) > MOST_LINKS) return undefined;
    }
    // padded to a multiple of eight, with one byte at least
    at = version === 4 ? end + 1 : at + ((end - at + 8) & ~7);
  }
  return hasItsExtensions(view, at, size, starts) ? found : undefined;
}

/** Whether a name is one that git takes (verify_path, read-cache.c). */
function isInside(name: string): boolean {
  return name.split("/").every((part) => !["", ".", ".."].includes(part) && part.toLowerCase() !== ".git");
}

/** Whether what is behind the entries is all of an index, and says of them what is true: git may read several of them at once, from where these say. */
function hasItsExtensions(view: DataView, begin: number, size: number, starts: readonly number[]): boolean {
  const last = view.byteLength - size;
  let at = begin;
  while (at + EXTENSION_SIZE <= last) {
    const [data, length] = [at + EXTENSION_SIZE, view.getUint32(at + 4)];
    if (data + length > last) return false;
    const name = view.getUint32(at);
    if (name === EXTENSION.endOfEntries && (length < 4 || view.getUint32(data) !== begin)) return false;
    if (name === EXTENSION.blocks && !areBlocks(view, data, length, starts)) return false;
    at = data + length;
  }
  return at === last;
}

/** Behind a version, pairs of an offset and a number of entries there. */
function areBlocks(view: DataView, data: number, length: number, starts: readonly number[]): boolean {
  let next = 0;
  for (let at = data + 4; at + 8 <= data + length; at += 8) {
    if (view.getUint32(at) !== starts[next]) return false;
    next += view.getUint32(at + 4);
  }
  return next === starts.length;
}

/** A number as "offset encoding" has it (gitformat-pack(5)), and where it ends. */
function variableLength(bytes: Uint8Array, start: number): [value: number, end: number] {
  let at = start;
  let byte = bytes[at++] ?? 0;
  let value = byte & 0x7f;
  while ((byte & 0x80) !== 0) {
    if (at - start > MOST_DIGITS) return [Number.POSITIVE_INFINITY, at];
    byte = bytes[at++] ?? 0;
    value = (value + 1) * 128 + (byte & 0x7f);
  }
  return [value, at];
}
