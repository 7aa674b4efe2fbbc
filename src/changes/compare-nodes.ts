import { textOf } from "../linux/call/bytes";
import { O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { hasErrno } from "../linux/file/file";
import { openAt, readLink } from "../linux/file/path";
import type { FileStatus } from "../linux/file/stat";
import type { Difference } from "./change";
import { readContent, sameContent } from "./file-content";
import { hasForeignGroup } from "./layer-group";
import {
  type Attributes,
  equalAttributes,
  equalCapabilities,
  hasCapabilities,
  takenAttributes,
} from "./node-attributes";
import { hasSameScripts } from "./noteworthy";
import type { ChangesRecord } from "./record";

/** What is to be seen of a file in a layer, and of the host's at the same place. */

/** Reading a package.json, to tell whether its scripts are others. */
const MOST_OF_PACKAGE = 1 << 20;

export const NO_ATTRIBUTES: Attributes = new Map();

/** What can't be copied. */
export const LEFT_OUT: Readonly<Partial<Record<FileStatus["type"], string>>> = {
  socket: "a socket",
  fifo: "a named pipe",
  character: "a device",
  block: "a device",
};

/** How a copy that was only moved looks; its kernel may not note which file it is a copy of. */
export function sightOf({ size, modified, mode }: FileStatus): string {
  return `like ${size} ${modified.join(".")} ${mode}`;
}

/** How a layer's file differs from the host's. `isTop`: it is the place of the layer itself. */
export function differencesOf(
  { node, status, found }: { node: Fd; status: FileStatus; found: Attributes },
  { node: old, status: was }: { node: Fd; status: FileStatus },
  isTop: boolean,
): Difference[] {
  const { type, mode, uid } = status;
  const gid = isTop && hasForeignGroup(status, was) ? was.gid : status.gid;
  if (type !== was.type) return ["type"];
  const what: Difference[] = [];
  if (type === "file" && differs(node, old)) what.push("content");
  if (type === "symlink" && readLink(node) !== readLink(old)) what.push("target");
  if (type !== "symlink" && mode !== was.mode) what.push("mode");
  if (uid !== was.uid || gid !== was.gid) what.push("owner");
  if (!equalAttributes(found, readableAttributes(old, was, undefined))) what.push("attributes");
  return what;
}

/** What a file or directory has, of a layer with these notes; nothing of what this user can't read of the host's. */
export function readableAttributes(
  node: Fd,
  { type }: FileStatus,
  notes: ChangesRecord["attributes"] | undefined,
): Attributes {
  if (type !== "file" && type !== "directory") return NO_ATTRIBUTES;
  try {
    return takenAttributes(node, notes);
  } catch (error) {
    // a file of the host's that its owner can't read
    if (hasErrno(error, "EACCES")) return NO_ATTRIBUTES;
    throw error;
  }
}

/** What can't be read of the host's, which the program couldn't read either, has been written anew. */
function differs(node: Fd, old: Fd): boolean {
  try {
    return !sameContent(node, old);
  } catch (error) {
    if (hasErrno(error, "EACCES")) return true;
    throw error;
  }
}

export const SHUT = "its mode lets nobody read it (chmod u+rX in another run with this DIR)";

/** Why this user can't see what a layer has there. */
export function whyUnreadable(node: Fd, { type }: FileStatus): string | undefined {
  if (type !== "file" && type !== "directory") return undefined;
  try {
    openAt(undefined, node.path, O.RDONLY | O.NONBLOCK | O.NOCTTY).close();
    return undefined;
  } catch (error) {
    if (hasErrno(error, "EACCES", "EPERM")) return SHUT;
    throw error;
  }
}

/** What makes a file another program than the host's, or that of somebody else by whose rights it would run. */
const OTHER_PROGRAM: readonly Difference[] = ["type", "content", "owner"];

/** Rights that whoever executes a file gets by it, and has not by the same program, `old` of the host. */
export function rightsOf(
  { type, mode }: FileStatus,
  found: Attributes,
  what: readonly Difference[],
  old: { node: Fd; status: FileStatus } | undefined,
): string | undefined {
  if (type !== "file") return undefined;
  const same = OTHER_PROGRAM.some((difference) => what.includes(difference)) ? undefined : old;
  const isNew = (bit: number) => (mode & bit) !== 0 && ((same?.status.mode ?? 0) & bit) === 0;
  const rights = [
    ...(isNew(0o4000) ? ["setuid"] : []),
    ...(isNew(0o2000) ? ["setgid"] : []),
    ...(hasCapabilities(found) && !(same && hasSameCapabilities(found, same)) ? ["capabilities"] : []),
  ];
  return rights.length === 0 ? undefined : rights.join(", ");
}

function hasSameCapabilities(found: Attributes, { node, status }: { node: Fd; status: FileStatus }): boolean {
  return equalCapabilities(found, readableAttributes(node, status, undefined));
}

/** Whether a package.json is the same in all that is executed. */
export function isSamePackage(
  relative: string,
  node: Fd,
  { type }: FileStatus,
  old: Fd,
  was: FileStatus | undefined,
): boolean {
  if (!/(^|\/)package\.json$/.test(relative) || type !== "file" || was?.type !== "file") return false;
  try {
    const [now, before] = [node, old].map((file) => textOf(readContent(file, MOST_OF_PACKAGE)));
    return now !== undefined && before !== undefined && hasSameScripts(now, before);
  } catch (error) {
    if (hasErrno(error, "EACCES")) return false;
    throw error;
  }
}
