import { asHakoError, HakoError } from "../../../base/errors";
import { textOf } from "../../../linux/call/bytes";
import { logDebug } from "../../../output/log";
import { unpackedBytes } from "./unpack-bytes";

/** A kernel as distributions have it: bzImage (Documentation/arch/x86/boot.rst). Offsets of its header. */
const HEADER = {
  setupSectors: 0x1f1,
  magic: 0x202,
  version: 0x20e,
  payloadOffset: 0x248,
  payloadLength: 0x24c,
} as const;
const HEADER_MAGIC = "HdrS";
const SECTOR = 512;
/** What it counts from. */
const VERSION_BASE = 0x200;
const LONGEST_VERSION = 256;
const ELF_MAGIC = [0x7f, 0x45, 0x4c, 0x46];
const GZIP_MAGIC = [0x1f, 0x8b];
/** The size of what was compressed, which the kernel's build appends to what does not end with it (scripts/Makefile.lib, size_append). */
const APPENDED = 4;
const PT_NOTE = 4;
/** The note that tells where a kernel is entered without a boot loader (xen/include/public/elfnote.h), which QEMU looks for. */
const PHYS32_ENTRY = 18;
const NOTE_NAME = "Xen\0";
const BANNER = /Linux version (\S+)/;

/** The release of a kernel, bzImage or ELF, as uname(2) tells it. */
export function releaseOf(bytes: Uint8Array, path: string): string {
  const release = isBzImage(bytes) ? releaseOfBzImage(bytes) : isElf(bytes) ? releaseOfElf(bytes) : undefined;
  if (release !== undefined) return release;
  throw new HakoError({ code: "config", message: `${path} is no kernel for x86-64`, path });
}

function isElf(bytes: Uint8Array): boolean {
  return ELF_MAGIC.every((byte, index) => bytes[index] === byte);
}

function isBzImage(bytes: Uint8Array): boolean {
  return textOf(bytes.subarray(HEADER.magic, HEADER.magic + HEADER_MAGIC.length)) === HEADER_MAGIC;
}

function releaseOfBzImage(bytes: Uint8Array): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const start = VERSION_BASE + view.getUint16(HEADER.version, true);
  return /^\S+/.exec(textOf(bytes.subarray(start, start + LONGEST_VERSION)))?.[0];
}

function releaseOfElf(bytes: Uint8Array): string | undefined {
  // one character a byte: a pattern finds the place
  return BANNER.exec(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1"))?.[1];
}

/**
 * The ELF file in a bzImage, if the machine can start it without unpacking it first, which an emulated processor does slowly. undefined where
 * it has none, or where nothing here unpacks it.
 */
export function unpackedKernel(bytes: Uint8Array<ArrayBuffer>): Uint8Array | undefined {
  if (!isBzImage(bytes)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const sectors = bytes[HEADER.setupSectors] || 4;
  const start = (sectors + 1) * SECTOR + view.getUint32(HEADER.payloadOffset, true);
  const payload = bytes.slice(start, start + view.getUint32(HEADER.payloadLength, true));
  const isGzip = GZIP_MAGIC.every((byte, index) => payload[index] === byte);
  try {
    const elf = unpackedBytes(isGzip ? payload : payload.slice(0, -APPENDED));
    return isElf(elf) && hasEntryNote(elf) ? elf : undefined;
  } catch (error) {
    logDebug(`the kernel is not unpacked: ${asHakoError(error).oneLine}`);
    return undefined;
  }
}

/** Whether QEMU can enter the kernel: it looks at the notes of its program headers. */
function hasEntryNote(elf: Uint8Array): boolean {
  const view = new DataView(elf.buffer, elf.byteOffset, elf.length);
  const headers = Number(view.getBigUint64(32, true));
  const [size, count] = [view.getUint16(54, true), view.getUint16(56, true)];
  for (let at = headers; at < headers + size * count; at += size) {
    if (view.getUint32(at, true) !== PT_NOTE) continue;
    const start = Number(view.getBigUint64(at + 8, true));
    const end = start + Number(view.getBigUint64(at + 32, true));
    for (let note = start; note + 12 <= end; ) {
      const [nameSize, dataSize] = [view.getUint32(note, true), view.getUint32(note + 4, true)];
      const name = textOf(elf.subarray(note + 12, note + 12 + nameSize));
      if (name === NOTE_NAME && view.getUint32(note + 8, true) === PHYS32_ENTRY) return true;
      note += 12 + 4 * Math.ceil(nameSize / 4) + 4 * Math.ceil(dataSize / 4);
    }
  }
  return false;
}
