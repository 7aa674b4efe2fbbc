import { cString } from "../call/argument-memory";
import { systemError, tryLibc } from "../call/syscall";

/** Magic numbers of file systems (linux/magic.h). */
export const FILESYSTEM_MAGIC = {
  cgroup: 0x27e0eb,
  cgroup2: 0x63677270,
  proc: 0x9fa0,
  nsfs: 0x6e736673,
  tmpfs: 0x01021994,
  devpts: 0x1cd1,
} as const;

/** struct statfs is 120 bytes on 64-bit Linux and begins with f_type. */
const SIZE = 256;

/** The type of the file system that `path` is on (statfs(2)), or -errno. */
export function tryFilesystemType(path: string): number {
  const buffer = new BigInt64Array(SIZE / 8);
  const result = tryLibc("statfs", cString(path), buffer);
  return result < 0 ? result : Number(BigInt.asUintN(32, buffer[0] ?? 0n));
}

/** What statfs(2) says of the room on a file system, in bytes: what an ordinary user can have, and all of it. */
export function roomOn(path: string): { available: number; total: number } {
  const buffer = new BigInt64Array(SIZE / 8);
  const result = tryLibc("statfs", cString(path), buffer);
  if (result < 0) throw systemError("statfs", -result, path);
  const [, blockSize = 0n, blocks = 0n, , available = 0n] = buffer;
  return { available: Number(available * blockSize), total: Number(blocks * blockSize) };
}
