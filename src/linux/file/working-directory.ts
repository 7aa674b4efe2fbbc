import { errnoName } from "../../base/errno";
import { HakoError } from "../../base/errors";
import { textOf } from "../call/bytes";
import { systemError, trySyscall } from "../call/syscall";

const PATH_MAX = 4096;

/** The caller's. An error where it has none that has a path: what is relative to it is nowhere. */
export function workingDirectory(): string {
  const buffer = new Uint8Array(PATH_MAX);
  const length = trySyscall("getcwd", buffer, buffer.length);
  if (length < 0 && errnoName(-length) !== "ENOENT") throw systemError("getcwd", -length);
  const path = length < 0 ? "" : textOf(buffer.subarray(0, length - 1));
  if (path.startsWith("/")) return path;
  throw new HakoError({
    code: "system",
    message: `the working directory was ${length < 0 ? "deleted" : "unmounted"}`,
    hint: "give absolute paths, or change to another directory",
    errno: "ENOENT",
  });
}
