import { LIMIT, O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { syscallOn, systemError, trySyscall } from "../linux/call/syscall";
import { readText } from "../linux/file/file";
import { openAt } from "../linux/file/path";
import { fileStatusOf } from "../linux/file/stat";

/** The content of regular files, which may have holes of any size: nothing is read of them. */

const CHUNK = 1 << 20;
const SEEK_DATA = 3;
/** ioctl_ficlone(2). */
const FICLONE = 0x40049409;
const ENXIO = 6;
const EINVAL = 22;

/** Opens what an O_PATH descriptor of a regular file is open on. */
export function openContent(file: Fd): Fd {
  return openAt(undefined, file.path, O.RDONLY | O.NOCTTY);
}

/** Where from an offset on the next byte is that is no hole's; `size` where there is none. */
function nextData(file: Fd, from: number, size: number, hasHoles: boolean): number {
  if (!hasHoles || from >= size) return Math.min(from, size);
  const result = trySyscall("lseek", file.number, BigInt(from), SEEK_DATA);
  if (result === -ENXIO) return size;
  // the file system knows no holes
  if (result === -EINVAL) return from;
  if (result < 0 && result > -LIMIT.PATH_MAX) throw systemError("lseek", -result, file.name);
  // results of calls have 32 bits here
  const position = /^pos:\s*(\d+)/.exec(readText(`/proc/self/fdinfo/${file.number}`))?.[1];
  return Math.min(Number(position), size);
}

function readAt(file: Fd, buffer: Uint8Array, offset: number): number {
  let done = 0;
  while (done < buffer.length) {
    const rest = buffer.subarray(done);
    const length = syscallOn(file.name, "pread64", file.number, rest, rest.length, BigInt(offset + done));
    if (length === 0) break;
    done += length;
  }
  return done;
}

/** Whether two files have the same bytes. */
export function sameContent(one: Fd, other: Fd): boolean {
  const [first, second] = [fileStatusOf(one), fileStatusOf(other)];
  const { size } = first;
  if (size !== second.size) return false;
  if (size === 0) return true;
  using a = openContent(one);
  using b = openContent(other);
  const [aHoles, bHoles] = [first, second].map(({ blocks }) => blocks * 512 < size);
  const length = Math.min(size, CHUNK);
  const buffers = [new Uint8Array(length), new Uint8Array(length)] as const;
  for (let at = 0; at < size; at += CHUNK) {
    at = Math.min(nextData(a, at, size, aHoles === true), nextData(b, at, size, bHoles === true));
    if (at >= size) return true;
    const [read, alsoRead] = [readAt(a, buffers[0], at), readAt(b, buffers[1], at)];
    if (read !== alsoRead) return false;
    if (Buffer.compare(buffers[0].subarray(0, read), buffers[1].subarray(0, read)) !== 0) return false;
  }
  return true;
}

/** Copies a file's content into a new one, with its holes; where the file system can, both share their blocks. */
export function copyContent(from: Fd, to: Fd): void {
  const { size, blocks } = fileStatusOf(from);
  if (size === 0) return;
  using source = openContent(from);
  if (trySyscall("ioctl", to.number, FICLONE, source.number) >= 0) return;
  syscallOn(to.name, "ftruncate", to.number, BigInt(size));
  const hasHoles = blocks * 512 < size;
  const buffer = new Uint8Array(Math.min(size, CHUNK));
  for (let at = nextData(source, 0, size, hasHoles); at < size; at = nextData(source, at, size, hasHoles)) {
    const length = readAt(source, buffer, at);
    if (length === 0) return;
    for (let done = 0; done < length; ) {
      const rest = buffer.subarray(done, length);
      done += syscallOn(to.name, "pwrite64", to.number, rest, rest.length, BigInt(at + done));
    }
    at += length;
  }
}

/** The beginning of a file's content. */
export function readContent(file: Fd, most: number): Uint8Array {
  using content = openContent(file);
  const buffer = new Uint8Array(Math.min(fileStatusOf(file).size, most));
  return buffer.subarray(0, readAt(content, buffer, 0));
}
