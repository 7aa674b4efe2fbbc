import { HakoError } from "../../base/errors";
import { textOf } from "../call/bytes";
import { AT, LIMIT, O, SIZE } from "../call/constants";
import { Fd } from "../call/fd";
import { systemError, trySyscall } from "../call/syscall";
import { fileStatusOf } from "./stat";

/** What a file that shall be executed is, as execve(2) sees it: from its first bytes (fs/binfmt_script.c, elf(5)). */
export type Format =
  | { kind: "empty" }
  /** "#!": the interpreter's name, with what no editor shows. */
  | { kind: "script"; interpreter: string }
  /** An ELF program: its machine by name, whether that is ours, and PT_INTERP, the loader that it needs. */
  | { kind: "elf"; machine: string; foreign: boolean; loader: string | undefined }
  /** An ELF file that is cut off or no program. */
  | { kind: "broken"; why: string }
  | { kind: "text" }
  | { kind: "unknown" };

/** Reads so many bytes at an offset; fewer at the end of the file. */
export type ReadAt = (offset: number, length: number) => Uint8Array;

const READ_FLAGS = O.RDONLY | O.NOCTTY | O.NONBLOCK | O.CLOEXEC;
/** What the kernel looks at (BINPRM_BUF_SIZE). */
const FIRST_LINE = 256;
/** The kernel takes program headers of one page at most. */
const MAX_HEADERS = 64 << 10;
const PT_INTERP = 3;
const ET_EXEC = 2;
const ET_DYN = 3;
const MAGIC = [0x7f, 0x45, 0x4c, 0x46];

/** e_machine of linux/elf-em.h; the class or the byte order picks the second name. */
const MACHINES: Readonly<
  Record<number, string | { 32: string; 64: string } | { little: string; big: string }>
> = {
  2: "sparc",
  3: "x86",
  8: { little: "mipsle", big: "mips" },
  20: "ppc",
  21: { little: "ppc64le", big: "ppc64" },
  22: "s390x",
  40: "arm",
  62: { 32: "x32", 64: "x86-64" },
  183: "aarch64",
  243: { 32: "riscv32", 64: "riscv64" },
  258: "loongarch64",
};

/** The machine that this process runs on, by the same names. */
export const OWN_MACHINE = process.arch === "arm64" ? "aarch64" : "x86-64";

function machineName(machine: number, bits: 32 | 64, little: boolean): string {
  const found = MACHINES[machine];
  if (found === undefined) return `machine ${machine}`;
  if (typeof found === "string") return found;
  if ("little" in found) return little ? found.little : found.big;
  return found[bits];
}

/** The format of a file that `readAt` reads. */
export function formatOf(readAt: ReadAt): Format {
  const head = readAt(0, SIZE.PAGE);
  if (head.length === 0) return { kind: "empty" };
  if (head[0] === 0x23 && head[1] === 0x21) return script(head);
  if (MAGIC.every((byte, index) => head[index] === byte)) return elf(head, readAt);
  return { kind: head.subarray(0, FIRST_LINE).every(isTextByte) ? "text" : "unknown" };
}

function isTextByte(byte: number): boolean {
  return byte >= 0x20 ? byte !== 0x7f : byte >= 0x08 && byte <= 0x0d;
}

function script(head: Uint8Array): Format {
  const [line = ""] = textOf(head.subarray(2, FIRST_LINE)).split(/[\n\0]/);
  const [interpreter = ""] = line.replace(/^[ \t]+/, "").split(/[ \t]/);
  return { kind: "script", interpreter };
}

function elf(head: Uint8Array, readAt: ReadAt): Format {
  const bits = head[4] === 1 ? 32 : 64;
  if (head.length < (bits === 32 ? 52 : 64)) return { kind: "broken", why: "it is cut off" };
  const little = head[5] !== 2;
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  const type = view.getUint16(16, little);
  const machine = machineName(view.getUint16(18, little), bits, little);
  if (type !== ET_EXEC && type !== ET_DYN) {
    return { kind: "broken", why: "it is an object file, not a linked program" };
  }
  const foreign = machine !== OWN_MACHINE;
  return { kind: "elf", machine, foreign, loader: foreign ? undefined : loaderOf(view, readAt) };
}

/** PT_INTERP of a 64-bit little-endian program; every number in it may be a lie. */
function loaderOf(header: DataView, readAt: ReadAt): string | undefined {
  const offset = Number(header.getBigUint64(32, true));
  const size = header.getUint16(54, true);
  const count = header.getUint16(56, true);
  if (size !== 56 || size * count > MAX_HEADERS || !Number.isSafeInteger(offset)) return undefined;
  const bytes = readAt(offset, size * count);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + size <= bytes.length; at += size) {
    if (view.getUint32(at, true) !== PT_INTERP) continue;
    const where = Number(view.getBigUint64(at + 8, true));
    const length = Number(view.getBigUint64(at + 32, true));
    if (!Number.isSafeInteger(where) || length > LIMIT.PATH_MAX) return undefined;
    const [name = ""] = textOf(readAt(where, length)).split("\0");
    return name === "" ? undefined : name;
  }
  return undefined;
}

/**
 * The format of the file at a path that may be hostile: opening waits for nothing, and only a regular file is read. undefined
 * where it can't be read.
 */
export function readFormat(path: string): Format | undefined {
  const opened = trySyscall("openat", AT.FDCWD, path, READ_FLAGS, 0);
  if (opened < 0) return undefined;
  using file = new Fd(opened, path);
  try {
    if (fileStatusOf(file).type !== "file") return undefined;
    return formatOf((offset, length) => readAtOf(file, offset, length));
  } catch (error) {
    if (error instanceof HakoError) return undefined;
    throw error;
  }
}

function readAtOf(file: Fd, offset: number, length: number): Uint8Array {
  const buffer = new Uint8Array(length);
  if (length === 0) return buffer;
  const count = trySyscall("pread64", file.number, buffer, length, offset);
  if (count < 0) throw systemError("pread64", -count, file.name);
  return buffer.subarray(0, count);
}
