import { errnoName } from "../../base/errno";
import { HakoError } from "../../base/errors";
import { textOf } from "../call/bytes";
import { LIMIT } from "../call/constants";
import { systemError, trySyscall } from "../call/syscall";

/**
 * The path of the caller's working directory. An error where that was deleted or unmounted: a relative path leads nowhere then.
 */
export function workingDirectory(): string {
  const buffer = new Uint8Array(LIMIT.PATH_MAX);
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
