import type { ErrnoName } from "../../base/errno";

/** Limits of the kernel that a call ran into, whatever it was made for, and where they are set. */
const HINTS: readonly (readonly [errno: ErrnoName, calls: readonly string[] | undefined, hint: string])[] = [
  ["EMFILE", undefined, "this process has all the descriptors that it may have: raise ulimit -n"],
  ["ENFILE", undefined, "the host has all the open files that it may have: raise fs.file-max"],
  [
    "EDQUOT",
    ["keyctl", "add_key"],
    "this user's keyrings are used up: raise kernel.keys.maxkeys, or --no-new-keyring",
  ],
  [
    "ENOSPC",
    ["open_tree", "move_mount", "fsmount", "mount", "mount_setattr"],
    "this namespace has all the mounts that it may have: raise fs.mount-max",
  ],
  ["ENOMEM", ["bpf"], "raise ulimit -l (RLIMIT_MEMLOCK)"],
];

/** What is to be tried about a failed call; undefined for errnos that say it all. */
export function systemHint(call: string, errno: ErrnoName): string | undefined {
  return HINTS.find(([name, calls]) => name === errno && (calls === undefined || calls.includes(call)))?.[2];
}
