import { cString } from "../call/argument-memory";
import { tryLibc } from "../call/syscall";

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
