import { AT, O } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import { syscallOn } from "../../../linux/call/syscall";
import { listNames } from "../../../linux/file/file";
import { makeLinkAt, makeNodeAt, openNode, setMode, setOwner } from "../../../linux/file/file-at";
import { mkdirAt, openAt, readLink } from "../../../linux/file/path";
import { type FileStatus, fileStatusOf } from "../../../linux/file/stat";

const CHUNK = 1 << 16;

/** Copies what is in a directory into another one, which is new and nobody else's (runc's tmpcopyup). */
export function copyUp(from: Fd, to: Fd): void {
  for (const name of listNames(from.path)) {
    using source = openNode(from, name);
    const status = fileStatusOf(source);
    copyNode(from, source, to, name, status);
  }
}

/** Copies one entry of a directory, as `copyUp` does. */
export function copyEntry(from: Fd, source: Fd, to: Fd, name: string): void {
  copyNode(from, source, to, name, fileStatusOf(source));
}

function copyNode(from: Fd, source: Fd, to: Fd, name: string, status: FileStatus): void {
  const { type, mode, major, minor } = status;
  if (type === "socket") return;
  if (type === "directory") {
    using made = mkdirAt(to, name, 0o700);
    copyUp(source, made);
  } else if (type === "file") copyFile(from, to, name);
  else if (type === "symlink") makeLinkAt(to, name, readLink(source));
  else makeNodeAt(to, name, { type, mode, major, minor });
  using copy = openNode(to, name);
  setOwner(copy, status.uid, status.gid);
  if (type !== "symlink") setMode(copy, mode);
  const [seconds, nanoseconds] = status.modified;
  const times = new BigInt64Array([seconds, BigInt(nanoseconds), seconds, BigInt(nanoseconds)]);
  syscallOn(name, "utimensat", to.number, name, times, AT.SYMLINK_NOFOLLOW);
}

function copyFile(from: Fd, to: Fd, name: string): void {
  // O_NONBLOCK: a file that was exchanged for a named pipe meanwhile must not make us wait
  using input = openNode(from, name, O.RDONLY | O.NONBLOCK);
  using output = openAt(to, name, O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW, 0o600);
  const buffer = new Uint8Array(CHUNK);
  for (;;) {
    const length = syscallOn(name, "read", input.number, buffer, buffer.length);
    if (length === 0) return;
    for (let done = 0; done < length; ) {
      const rest = buffer.subarray(done, length);
      done += syscallOn(name, "write", output.number, rest, rest.length);
    }
  }
}
