import { errnoNumber } from "../../base/errno";
import { AT, O } from "../call/constants";
import { Fd } from "../call/fd";
import { syscallOn, systemError, trySyscall } from "../call/syscall";

export type NodeType = "character" | "block" | "fifo";
const S_IF: Readonly<Record<NodeType, number>> = { character: 0o020000, block: 0o060000, fifo: 0o010000 };

export interface Node {
  type: NodeType;
  mode: number;
  major: number;
  minor: number;
}

/** The kernel's encoding of a device number for user space (new_encode_dev). */
function deviceNumber(major: number, minor: number): number {
  return (((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0) as number;
}

/** Makes a device node or a named pipe; false when the name is taken. */
export function makeNodeAt(dir: Fd, name: string, node: Node): boolean {
  const device = node.type === "fifo" ? 0 : deviceNumber(node.major, node.minor);
  const result = trySyscall("mknodat", dir.number, name, S_IF[node.type] | node.mode, device);
  if (result < 0 && -result !== errnoNumber("EEXIST")) throw systemError("mknodat", -result, name);
  return result >= 0;
}

/** Makes a symbolic link; false when the name is taken. */
export function makeLinkAt(dir: Fd, name: string, target: string): boolean {
  const result = trySyscall("symlinkat", target, dir.number, name);
  if (result < 0 && -result !== errnoNumber("EEXIST")) throw systemError("symlinkat", -result, name);
  return result >= 0;
}

/** Removes a file that may not be there. */
export function removeFileAt(dir: Fd, name: string): void {
  const result = trySyscall("unlinkat", dir.number, name, 0);
  if (result < 0 && -result !== errnoNumber("ENOENT")) throw systemError("unlinkat", -result, name);
}

/** Changes the owner of what a descriptor is open on, links and O_PATH descriptors too. */
export function setOwner(fd: Fd, uid: number, gid: number): void {
  syscallOn(fd.name, "fchownat", fd.number, "", uid, gid, AT.EMPTY_PATH);
}

/** Changes the mode by the path in the host's procfs: fchmod does not take O_PATH descriptors. */
export function setMode(fd: Fd, mode: number): void {
  syscallOn(fd.name, "fchmodat", AT.FDCWD, fd.path, mode);
}

/** Opens one name of a directory without following it. */
export function openNode(dir: Fd, name: string, flags: number = O.PATH): Fd {
  return new Fd(syscallOn(name, "openat", dir.number, name, flags | O.NOFOLLOW | O.CLOEXEC, 0), name);
}
