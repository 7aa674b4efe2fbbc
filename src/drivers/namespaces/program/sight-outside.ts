import type { ErrnoName } from "../../../base/errno";
import { asHakoError } from "../../../base/errors";
import type { SightPlace } from "../../../explain/execution";
import { O } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import { systemError } from "../../../linux/call/syscall";
import { readFormat } from "../../../linux/file/executable";
import { openInRoot } from "../../../linux/file/path";
import { components } from "../../../linux/file/path-text";
import { type FileStatus, fileStatusOf } from "../../../linux/file/stat";
import type { Process } from "../../../oci/config";
import { mayExecute } from "./may-execute";
import { absoluteIn } from "./program-file";

/** A program's container, of which only files are looked at. */
export interface Outside {
  /** The root directory of its mount namespace. */
  root: Fd;
  process: Process;
  keepsGroups: boolean;
  /** What the host calls an id of the container's user namespace. */
  onHost(kind: "uid" | "gid", id: number): number;
}

/** Looks at programs of a container from outside, as far as modes say what the program's user may do. */
export function sightOutside(outside: Outside): SightPlace {
  return {
    open(name) {
      try {
        return openAsUser(outside, name);
      } catch {
        return undefined;
      }
    },
    // what was looked at, not what somebody has put there since
    format: (_, found) => readFormat(found.path),
    errno: (name) => errnoOf(outside, name),
    user: outside.process.user.uid,
  };
}

/** Opens what is there only to look at it; the user must have the right to search the directories, as far as modes say. */
function openAsUser(outside: Outside, path: string): Fd {
  const { root, process } = outside;
  const absolute = absoluteIn(process, path);
  const names = components(absolute);
  for (let count = 0; count < names.length; count++) {
    using directory = openInRoot(root, `/${names.slice(0, count).join("/")}`, O.PATH | O.DIRECTORY);
    if (!isPassable(outside, fileStatusOf(directory))) throw systemError("open", "EACCES", absolute);
  }
  return openInRoot(root, absolute, O.PATH);
}

/** Why the user may not execute what is there, as far as modes say. */
function errnoOf(outside: Outside, path: string): ErrnoName | undefined {
  try {
    using file = openAsUser(outside, path);
    return isPassable(outside, fileStatusOf(file)) ? undefined : "EACCES";
  } catch (error) {
    return asHakoError(error).errno;
  }
}

function isPassable({ process, keepsGroups, onHost }: Outside, status: FileStatus): boolean {
  return mayExecute(status, process, keepsGroups, onHost);
}
