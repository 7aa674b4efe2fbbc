import { during, HakoError } from "../../base/errors";
import { exists, makeDirectories, realPath, statusAt } from "../../linux/file/file";
import { isAtOrBelow } from "../../linux/file/path-text";
import type { Config, Linux } from "../../oci/config";
import type { Bundle } from "../bundle";
import { mountsBelow } from "./mount-order";
import type { ScriptValues } from "./script-values";

/** The directory that --rootfs names; absolute, without links. */
export function rootfsOf(text: string): string {
  return during(`--rootfs ${text}`, () => {
    const path = realPath(text);
    if (statusAt(path)?.type !== "directory") throw HakoError.usage("it is not a directory");
    if (path !== "/" && exists(`${path}/oci-layout`) && exists(`${path}/index.json`))
      throw HakoError.usage("it is an OCI image layout", `--rootfs oci:${text} runs its image`);
    return path;
  });
}

/** Whether the root file system is only read, and where writes go then. */
export function overlayOf(
  values: Pick<ScriptValues, "discard" | "keep-writes">,
  rootfs: string,
  isImage: boolean,
  keepsChanges: boolean,
): Bundle["overlay"] {
  const { discard, "keep-writes": keepWrites } = values;
  if (keepWrites === undefined)
    return rootfs === "/" || isImage || discard || keepsChanges ? { writes: undefined } : undefined;
  if (discard) throw HakoError.usage("--discard and --keep-writes contradict each other");
  if (keepWrites === "") throw HakoError.usage("--keep-writes: empty", "a directory");
  if (rootfs === "/")
    throw HakoError.usage(
      "--keep-writes and --rootfs / contradict each other",
      "-v binds a directory to write to",
    );
  return during(`--keep-writes ${keepWrites}`, () => {
    makeDirectories(keepWrites);
    const writes = realPath(keepWrites);
    if (isAtOrBelow(writes, rootfs) || isAtOrBelow(rootfs, writes))
      throw HakoError.usage(`it and ${rootfs} are in each other`, "a directory beside it");
    const below = mountsBelow(rootfs, []);
    if (below.length > 0)
      throw HakoError.usage(`${rootfs}${below[0]} is a mount of its own, whose writes would not be kept`);
    return { writes };
  });
}

/**
 * What `--read-only` means beside root.readonly, which holds for the root's own mount alone: every mount below it is read-only too, and
 * what the host mounts there later does not appear.
 */
export function readonlyTree({ linux }: Config, below: readonly string[]): Partial<Linux> {
  return { readonlyPaths: [...below, ...(linux?.readonlyPaths ?? [])], rootfsPropagation: "rprivate" };
}
