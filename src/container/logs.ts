import { HakoError } from "../base/errors";
import { O } from "../linux/call/constants";
import { systemError, trySyscall } from "../linux/call/syscall";
import { openAt } from "../linux/file/path";
import { waitFor } from "../linux/file/poll";
import { fileStatusOf } from "../linux/file/stat";
import { openProcess } from "../linux/process/process";
import type { ContainerId } from "../oci/id";
import { readContainer } from "../state/record";

const CHUNK = 65536;
/** How often a file is looked at that has had no more. */
const LOOK_MS = 200;

/**
 * Tells what a container's program has written to its file of `run --output`; with `follow` what it writes from then on too, until the container
 * has ended. A file that was emptied meanwhile (as logrotate's copytruncate does) is told from its beginning. Ends before when `tell` says
 * that nobody reads.
 */
export function tellOutput(
  root: string,
  id: ContainerId,
  follow: boolean,
  tell: (bytes: Uint8Array) => boolean,
): boolean {
  const { output, init } = readContainer(root, id).record;
  if (output === undefined) throw notKept(id);
  using process = follow && init !== undefined ? openProcess(init.pid, init.startTime) : undefined;
  using file = openAt(undefined, output, O.RDONLY | O.CLOEXEC);
  const buffer = new Uint8Array(CHUNK);
  for (let at = 0, ended = process === undefined; ; ) {
    const length = trySyscall("pread64", file.number, buffer, CHUNK, at);
    if (length < 0) throw systemError("read", -length, output);
    at += length;
    if (length > 0 && !tell(buffer.subarray(0, length))) return false;
    if (length > 0) continue;
    if (fileStatusOf(file).size < at) at = 0;
    else if (ended || process === undefined) return true;
    // what it wrote last is there when it has ended
    else ended = waitFor(process, "read", LOOK_MS);
  }
}

function notKept(id: ContainerId): HakoError {
  return new HakoError({
    code: "unsupported",
    message: `container "${id}": its output is not kept, it went where its caller's does`,
    hint: "hako run --detach --output FILE ... keeps it in a file",
  });
}
