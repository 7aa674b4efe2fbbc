import { asHakoError } from "../base/errors";
import { O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { listNames } from "../linux/file/file";
import { openAt, openWithoutLinks } from "../linux/file/path";
import type { ApplyJournal } from "./record";
import { removeHostileTree } from "./remove-tree";

/** Removes what an apply that was ended halfway has left on the host. */
export function cleanUp({ prefix, parents }: ApplyJournal): void {
  using root = openAt(undefined, "/", O.PATH | O.DIRECTORY);
  for (const path of parents) {
    let parent: Fd;
    try {
      parent = openWithoutLinks(root, path, O.PATH | O.DIRECTORY);
    } catch (thrown) {
      // it is no more what hako has worked in
      if (["ENOENT", "ENOTDIR", "ELOOP"].includes(asHakoError(thrown).errno ?? "")) continue;
      throw thrown;
    }
    using held = parent;
    for (const name of listNames(held.path))
      if (name.startsWith(prefix)) removeHostileTree(held, name, prefix);
  }
}
