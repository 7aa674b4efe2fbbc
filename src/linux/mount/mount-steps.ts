import type { Step } from "../call/step";
import { AT_FDCWD, O } from "../file/path";

const AT_RECURSIVE = 0x8000;
const OPEN_TREE_CLONE = 1;
const FSOPEN_CLOEXEC = 1;
const FSCONFIG_CMD_CREATE = 6;
const FSMOUNT_CLOEXEC = 1;
const MS_PRIVATE = 1n << 18n;

/** Mount calls for a process that makes nothing else (see mount.ts). */

/** Keeps what is mounted in this mount namespace from all others. */
export function privateTreeStep(): Step {
  const attributes = new BigUint64Array([0n, 0n, MS_PRIVATE, 0n]);
  return {
    what: "mount_setattr /",
    call: "mount_setattr",
    args: [AT_FDCWD, "/", AT_RECURSIVE, attributes, attributes.byteLength],
  };
}

/** A detached copy of what is mounted at a path and below. */
export function cloneTreeStep(path: string): Step {
  return {
    what: `open_tree ${path}`,
    call: "open_tree",
    args: [AT_FDCWD, path, OPEN_TREE_CLONE | AT_RECURSIVE | O.CLOEXEC],
  };
}

/** A new file system, mounted nowhere, in a process whose lowest free descriptor is `number`. */
export function detachedFilesystemSteps(type: string, number: number): Step[] {
  return [
    { what: `fsopen ${type}`, call: "fsopen", args: [type, FSOPEN_CLOEXEC], most: BigInt(number) },
    {
      what: `mount ${type}: fsconfig`,
      call: "fsconfig",
      args: [number, FSCONFIG_CMD_CREATE, 0, 0, 0],
    },
    { what: `mount ${type}: fsmount`, call: "fsmount", args: [number, FSMOUNT_CLOEXEC, 0] },
  ];
}
