import { errnoName, errnoNumber } from "../../base/errno";
import { textOf } from "../call/bytes";
import type { Fd } from "../call/fd";
import { syscallOn, systemError, trySyscall } from "../call/syscall";

/** Extended attributes (xattr(7)) of what descriptors are open on, O_PATH descriptors too, but not of symbolic links. */

/** The most that the kernel gives of a value, and of a list of names (XATTR_SIZE_MAX, XATTR_LIST_MAX). */
const MOST = 65_536;

/** The names of all attributes that this process may see; none where the file system has none. */
export function listAttributes(file: Fd): string[] {
  const size = trySyscall("listxattr", file.path, null, 0);
  if (size === 0 || lacksAttributes(size)) return [];
  if (size < 0) throw systemError("listxattr", -size, file.name);
  const buffer = new Uint8Array(MOST);
  const length = syscallOn(file.name, "listxattr", file.path, buffer, buffer.length);
  return textOf(buffer.subarray(0, length))
    .split("\0")
    .filter((name) => name !== "");
}

/** The value of an attribute; undefined if the file hasn't it. */
export function getAttribute(file: Fd, name: string): Uint8Array<ArrayBuffer> | undefined {
  const buffer = new Uint8Array(MOST);
  const length = trySyscall("getxattr", file.path, name, buffer, buffer.length);
  if (length >= 0) return buffer.slice(0, length);
  if (errnoName(-length) === "ENODATA" || lacksAttributes(length)) return undefined;
  throw systemError("getxattr", -length, `${name} of ${file.name}`);
}

export function setAttribute(file: Fd, name: string, value: Uint8Array): void {
  syscallOn(`${name} of ${file.name}`, "setxattr", file.path, name, value, value.length, 0);
}

export function removeAttribute(file: Fd, name: string): void {
  const result = trySyscall("removexattr", file.path, name);
  if (result < 0 && errnoName(-result) !== "ENODATA")
    throw systemError("removexattr", -result, `${name} of ${file.name}`);
}

function lacksAttributes(result: number): boolean {
  return result === -errnoNumber("EOPNOTSUPP");
}
