import { AT, FSCONFIG, FSMOUNT, FSOPEN, MS, O, OPEN_TREE } from "../call/constants";
import type { Step } from "../call/step";

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
