import { HakoError } from "../base/errors";
import { O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { systemError, trySyscall } from "../linux/call/syscall";
import { openAt } from "../linux/file/path";
import { waitFor } from "../linux/file/poll";
import { fileStatusOf } from "../linux/file/stat";
import { openProcess } from "../linux/process/process";
import type { ContainerId } from "../oci/id";
import { readContainer } from "../state/record";

const CHUNK = 65536;
const NEWLINE = 0x0a;
/** How often a file is looked at that has had no more. */
const LOOK_MS = 200;

/**
 * Tells what a container's program has written to its file of `run --output`; with `follow` what it writes from then on too, until the container
 * has ended. Of what is there `lines` leaves the last ones. A file that was emptied meanwhile (as logrotate's copytruncate does) is told from its
 * beginning. Ends before when `tell` says that nobody reads.
 */
export function tellOutput(
  root: string,
  id: ContainerId,
  { follow, lines }: { follow: boolean; lines: number | undefined },
  tell: (bytes: Uint8Array) => boolean,
): boolean {
  const { output, init } = readContainer(root, id).record;
  if (output === undefined) throw notKept(id);
  using process = follow && init !== undefined ? openProcess(init.pid, init.startTime) : undefined;
  using file = openAt(undefined, output, O.RDONLY | O.CLOEXEC);
  const buffer = new Uint8Array(CHUNK);
  const begin = lines === undefined ? 0 : beginOfLines(file, lines);
  for (let at = begin, ended = process === undefined; ; ) {
    const length = readAt(file, buffer, at);
    at += length;
    if (length > 0 && !tell(buffer.subarray(0, length))) return false;
    if (length > 0) continue;
    if (fileStatusOf(file).size < at) at = 0;
    else if (ended || process === undefined) return true;
    // what it wrote last is there when it has ended
    else ended = waitFor(process, "read", LOOK_MS);
  }
}

function readAt(file: Fd, buffer: Uint8Array, at: number): number {
  const length = trySyscall("pread64", file.number, buffer, buffer.length, at);
  if (length < 0) throw systemError("read", -length, file.name);
  return length;
}

/** Where the last lines of a file begin, which is read from its end. Its last byte ends a line, or there is one that goes on. */
function beginOfLines(file: Fd, lines: number): number {
  const { size } = fileStatusOf(file);
  if (lines === 0) return size;
  const buffer = new Uint8Array(CHUNK);
  let left = lines;
  for (let end = size; end > 0; ) {
    const from = Math.max(0, end - CHUNK);
    const part = buffer.subarray(0, readAt(file, buffer.subarray(0, end - from), from));
    for (let at = part.length - 1; at >= 0; at--) {
      if (part[at] !== NEWLINE || from + at === size - 1) continue;
      left--;
      if (left === 0) return from + at + 1;
    }
    end = from;
  }
  return 0;
}

function notKept(id: ContainerId): HakoError {
  return new HakoError({
    code: "unsupported",
    message: `container "${id}": its output is not kept, it went where its caller's does`,
    hint: "hako run --detach --output FILE ... keeps it in a file",
  });
}
