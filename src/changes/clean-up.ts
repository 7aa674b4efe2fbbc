import { errnoName } from "../base/errno";
import { asHakoError } from "../base/errors";
import { AT, O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { systemError, trySyscall } from "../linux/call/syscall";
import { listNames } from "../linux/file/file";
import { openAt, openIfThere, openWithoutLinks } from "../linux/file/path";
import { basename, dirname } from "../linux/file/path-text";
import { fileStatusOf } from "../linux/file/stat";
import { logWarning } from "../output/log";
import type { ApplyJournal, StagingDirectory } from "./record";
import { removeHostileTree } from "./remove-tree";

/** Removes what an apply that was ended halfway has left on the host. */
export function cleanUp({ prefix, parents, staging }: ApplyJournal): void {
  for (const each of staging ?? []) removeStaging(each);
  for (const path of parents) {
    using parent = openHost(path);
    if (parent === undefined) continue;
    for (const name of listNames(parent.path)) {
      if (!name.startsWith(prefix)) continue;
      // those of earlier versions lie there themselves
      if (staging === undefined) removeHostileTree(parent, name, prefix);
      // one that was made and could not be noted any more is empty
      else removeEmpty(parent, name, `${path}/${name}`);
    }
  }
}

/** Removes a staging directory with all that is in it, where nobody else can exchange it. What else has its name stays. */
export function removeStaging({ path, inode }: StagingDirectory): void {
  using parent = openHost(dirname(path));
  const name = basename(path);
  using directory = parent && openIfThere(parent, name, O.PATH | O.NOFOLLOW);
  if (parent === undefined || directory === undefined) return;
  const status = fileStatusOf(directory);
  if (String(status.inode) !== inode || status.type !== "directory") return;
  for (const inner of listNames(directory.path)) removeHostileTree(directory, inner, "");
  removeEmpty(parent, name, path);
}

/** Removes a directory in which nothing is; it is none of hako's if something is in it. */
function removeEmpty(parent: Fd, name: string, shown: string): void {
  const result = trySyscall("unlinkat", parent.number, name, AT.REMOVEDIR);
  if (result >= 0 || errnoName(-result) === "ENOENT") return;
  if (!["ENOTEMPTY", "EEXIST", "ENOTDIR"].includes(errnoName(-result)))
    throw systemError("rmdir", -result, shown);
  logWarning(`${shown}: it stays, for it is none that hako has made`);
}

/** undefined: it is no more what hako has worked in. */
function openHost(path: string): Fd | undefined {
  using root = openAt(undefined, "/", O.PATH | O.DIRECTORY);
  try {
    return openWithoutLinks(root, path, O.PATH | O.DIRECTORY);
  } catch (thrown) {
    if (["ENOENT", "ENOTDIR", "ELOOP"].includes(asHakoError(thrown).errno ?? "")) return undefined;
    throw thrown;
  }
}
