import { AT, FSCONFIG, FSMOUNT, FSOPEN, MS, O, OPEN_TREE } from "../call/constants";
import type { Fd } from "../call/fd";
import type { Step } from "../call/step";
import { ATTR, MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH } from "./mount-calls";

/** Mount calls for a process that makes nothing else (see mount-calls.ts). */

/** Keeps what is mounted in this mount namespace from all others. */
export function privateTreeStep(): Step {
  const attributes = new BigUint64Array([0n, 0n, BigInt(MS.PRIVATE), 0n]);
  return {
    what: "mount_setattr /",
    call: "mount_setattr",
    args: [AT.FDCWD, "/", AT.RECURSIVE, attributes, attributes.byteLength],
  };
}

/** A detached copy of what is mounted at a path and below. */
export function cloneTreeStep(path: string): Step {
  return {
    what: `open_tree ${path}`,
    call: "open_tree",
    args: [AT.FDCWD, path, OPEN_TREE.CLONE | AT.RECURSIVE | O.CLOEXEC],
  };
}

/** A new file system, mounted nowhere, in a process whose lowest free descriptor is `number`. */
export function detachedFilesystemSteps(type: string, number: number): Step[] {
  return [
    { what: `fsopen ${type}`, call: "fsopen", args: [type, FSOPEN.CLOEXEC], success: { exactly: number } },
    {
      what: `mount ${type}: fsconfig`,
      call: "fsconfig",
      args: [number, FSCONFIG.CMD_CREATE, 0, 0, 0],
    },
    { what: `mount ${type}: fsmount`, call: "fsmount", args: [number, FSMOUNT.CLOEXEC, 0] },
  ];
}

/** A detached copy of the mount at a name in a directory, or at a path, for a process in which `number` is the lowest descriptor that is free. */
export function cloneStep(directory: Fd | undefined, name: string, number: number): Step {
  return {
    what: `open_tree ${name}`,
    call: "open_tree",
    args: [directory?.number ?? AT.FDCWD, name, OPEN_TREE.CLONE | O.CLOEXEC],
    success: { exactly: number },
  };
}

/** Sets attributes of a detached mount, or of all that are in a tree. An access time takes the place of the one that was there. */
export function attributeStep(mount: number, set: number, recursive = false): Step {
  const clear = (set & ATTR.ATIME) === 0 ? 0 : ATTR.ATIME;
  const attributes = new BigUint64Array([BigInt(set), BigInt(clear), 0n, 0n]);
  const how = AT.EMPTY_PATH | (recursive ? AT.RECURSIVE : 0);
  return {
    what: "mount_setattr",
    call: "mount_setattr",
    args: [mount, "", how, attributes, attributes.byteLength],
  };
}

/** Attaches a detached mount to what a descriptor is open on, or to a path below that; a link at its end is not followed. */
export function attachStep(mount: number, target: number, path: string): Step {
  const name = path.replace(/^\/+/, "");
  const flags = MOVE_MOUNT_F_EMPTY_PATH | (name === "" ? MOVE_MOUNT_T_EMPTY_PATH : 0);
  return { what: `move_mount ${path}`, call: "move_mount", args: [mount, "", target, name, flags] };
}
