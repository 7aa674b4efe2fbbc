import type { HakoError } from "../../base/errors";
import { exists } from "../../linux/file/file";
import { dirname, isAtOrBelow, resolve } from "../../linux/file/path-text";
import type { Config } from "../../oci/config";

/** Says of a program that is not there, though the caller sees it, which of the container's mounts covers its place: a new /dev/shm, say. */
export function explainCovered(error: HakoError, { process, mounts = [] }: Config): HakoError {
  const name = process?.args?.[0];
  if (error.code !== "command-not-found" || error.hint !== undefined || !name?.includes("/")) return error;
  const path = resolve(process?.cwd ?? "/", name);
  const cover = mounts.findLast(({ destination }) => isAtOrBelow(path, destination))?.destination;
  if (cover === undefined || !exists(path)) return error;
  const directory = dirname(path);
  return error.with({
    hint: `the container's ${cover} is its own: -v ${directory}:${directory} shows yours`,
  });
}
