import { errnoName } from "../../base/errno";
import type { Fd } from "../call/fd";
import { syscallOn, systemError, trySyscall } from "../call/syscall";
import { fileStatusOf } from "./stat";

/** lseek(2) */
const [SEEK_SET, SEEK_DATA, SEEK_HOLE] = [0, 3, 4];

/** Copies what a file has into an empty one; what has never been written takes no room there either. */
export function copySparse(from: Fd, to: Fd): void {
  const { size } = fileStatusOf(from);
  syscallOn(to.name, "ftruncate", to.number, size);
  for (let at = 0; at < size; ) {
    const start = trySyscall("lseek", from.number, at, SEEK_DATA);
    // nothing but a hole follows
    if (start < 0 && errnoName(-start) === "ENXIO") return;
    if (start < 0) throw systemError("lseek", -start, from.name);
    at = syscallOn(from.name, "lseek", from.number, start, SEEK_HOLE);
    syscallOn(from.name, "lseek", from.number, start, SEEK_SET);
    syscallOn(to.name, "lseek", to.number, start, SEEK_SET);
    for (let left = at - start; left > 0; ) {
      const sent = syscallOn(to.name, "sendfile", to.number, from.number, null, left);
      // somebody shortens it
      if (sent === 0) return;
      left -= sent;
    }
  }
}
