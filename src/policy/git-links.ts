import { textOf } from "../linux/call/bytes";

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
/** Sizes of an object's name: SHA-1, SHA-256. */
const OBJECT_SIZES = [20, 32];
const LINK = 0o160000;
const MODES: ReadonlySet<number> = new Set([0o100644, 0o100755, 0o120000, 0o040000, LINK]);

/** The paths of submodules that a .gitmodules names, below the directory that it is in. */
export function submodulePaths(text: string): string[] {
  const rows = text.matchAll(/^[\t ]*path[\t ]*=[\t ]*"?([^\n"]+?)"?[\t ]*$/gim);
  return [...rows].map(([, path = ""]) => path);
}

/** The paths of links to other repositories in an index; undefined of what is none. */
export function gitLinks(index: Uint8Array): string[] | undefined {
  for (const size of OBJECT_SIZES) {
    const found = linksIn(index, size);
    if (found !== undefined) return found;
  }
  return undefined;
}

function linksIn(index: Uint8Array, objectSize: number): string[] | undefined {
  const view = new DataView(index.buffer, index.byteOffset, index.byteLength);
  if (index.length < HEADER_SIZE || view.getUint32(0) !== SIGNATURE) return undefined;
  const version = view.getUint32(4);
  if (version < 2 || version > 4) return undefined;
  const found: string[] = [];
  let name: Uint8Array = new Uint8Array();
  let at = HEADER_SIZE;
  for (let left = view.getUint32(8); left > 0; left--) {
    const flagsAt = at + OBJECT_AT + objectSize;
    if (flagsAt + FLAGS_SIZE > index.length) return undefined;
    const mode = view.getUint32(at + MODE_AT);
    if (!MODES.has(mode)) return undefined;
    let nameAt = flagsAt + FLAGS_SIZE;
    if (version > 2 && (view.getUint16(flagsAt) & EXTENDED) !== 0) nameAt += 2;
    let kept = new Uint8Array();
    if (version === 4) {
      const [removed, behind] = variableLength(index, nameAt);
      kept = name.slice(0, Math.max(0, name.length - removed));
      nameAt = behind;
    }
    const end = index.indexOf(0, nameAt);
    if (end < 0) return undefined;
    name = Uint8Array.of(...kept, ...index.subarray(nameAt, end));
    if (mode === LINK) found.push(textOf(name));
    // padded to a multiple of eight, with one byte at least
    at = version === 4 ? end + 1 : at + ((end - at + 8) & ~7);
  }
  return found;
}

/** A number as "offset encoding" has it (gitformat-pack(5)), and where it ends. */
function variableLength(bytes: Uint8Array, start: number): [value: number, end: number] {
  let at = start;
  let byte = bytes[at++] ?? 0;
  let value = byte & 0x7f;
  while ((byte & 0x80) !== 0) {
    byte = bytes[at++] ?? 0;
    value = (value + 1) * 128 + (byte & 0x7f);
  }
  return [value, at];
}
