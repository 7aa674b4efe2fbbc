import { errnoNumber } from "../../base/errno";
import { HakoError } from "../../base/errors";
import { bytesOf, concatenated } from "../call/bytes";
import { type Descriptor, descriptorName, descriptorNumber } from "../call/fd";
import { systemError, trySyscall } from "../call/syscall";
import { waitFor } from "./poll";

/** Reads and writes of pipes, sockets and terminals, which wait although the descriptor may be non-blocking (`O_NONBLOCK`). */

/** Reads what is there, at most `limit` bytes; nothing means the end. Waits for a non-blocking descriptor too. */
export function readWaiting(fd: Descriptor, limit = 65536): Uint8Array<ArrayBuffer> {
  const buffer = new Uint8Array(limit);
  for (;;) {
    const length = trySyscall("read", descriptorNumber(fd), buffer, limit);
    if (length >= 0) return buffer.subarray(0, length);
    if (-length !== errnoNumber("EAGAIN")) throw systemError("read", -length, descriptorName(fd));
    waitFor(fd, "read", Number.POSITIVE_INFINITY);
  }
}

/** Reads up to the end; more than `limit` bytes are an error. */
export function readAllWaiting(fd: Descriptor, limit = 16 << 20): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  for (let total = 0; ; ) {
    const part = readWaiting(fd);
    if (part.length === 0) return concatenated(parts);
    total += part.length;
    if (total > limit) {
      throw new HakoError({ code: "system", message: `read: more than ${limit} bytes` });
    }
    parts.push(part);
  }
}

/** Writes all of it, waiting as long as the other side takes. */
export function writeAllWaiting(fd: Descriptor, data: Uint8Array | string): void {
  const bytes = typeof data === "string" ? bytesOf(data) : data;
  for (let done = 0; done < bytes.length; ) {
    const rest = bytes.subarray(done);
    const length = trySyscall("write", descriptorNumber(fd), rest, rest.length);
    if (length >= 0) done += length;
    else if (-length === errnoNumber("EAGAIN")) waitFor(fd, "write", Number.POSITIVE_INFINITY);
    else throw systemError("write", -length, descriptorName(fd));
  }
}
