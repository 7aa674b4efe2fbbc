import { errnoName } from "../../base/errno";
import { errnoHint } from "../../base/errno-hints";
import { PR } from "../call/constants";
import type { Step } from "../call/step";
import { trySyscallHere } from "../call/syscall";

/** How errors begin that are about the program's user. */
const USER = "config /process/user";
const KEYCTL_GET_KEYRING_ID = 0;
const KEYCTL_JOIN_SESSION_KEYRING = 1;
const KEYCTL_SETPERM = 5;
const KEY_SPEC_SESSION_KEYRING = -3;
/**
 * All rights for whoever possesses the keyring, as is the default; its user may view, read, write, search and link: what runc
 * sets for a container's.
 */
const KEYRING_PERMISSIONS = 0x3f3f0000;

/**
 * Sets an identity: real, effective and saved ids, and the additional groups. Capabilities stay permitted; which of them become
 * effective is set later.
 *
 * A user namespace may forbid setgroups(2), so that nobody leaves a group that a file's mode shuts out. Where it is forbidden to
 * a process that otherwise may call it (`maySetGroups`), a wish for no groups is taken as fulfilled. If `additional` is
 * undefined the groups stay.
 */
export function identitySteps(
  uid: number,
  gid: number,
  additional: readonly number[] | undefined,
  maySetGroups: boolean,
): Step[] {
  const groups = additional === undefined ? undefined : [...new Set(additional)];
  const keep = (on: number): Step => ({
    what: "PR_SET_KEEPCAPS",
    call: "prctl",
    args: [PR.SET_KEEPCAPS, on, 0, 0, 0],
  });
  const change = (call: "setresgid" | "setresuid", id: number): Step => ({
    what: `${USER}: ${call} ${id}`,
    call,
    args: [id, id, id],
    hint: (errno) => errnoHint("become a user", errno, { id }),
  });
  return [
    keep(1),
    ...(groups === undefined ? [] : [groupsStep(groups, maySetGroups)]),
    change("setresgid", gid),
    change("setresuid", uid),
    keep(0),
  ];
}

function groupsStep(groups: readonly number[], maySetGroups: boolean): Step {
  return {
    what: `${USER}: setgroups [${groups.join(" ")}]`,
    call: "setgroups",
    args: [groups.length, groups.length === 0 ? 0 : new Uint32Array(groups)],
    success: groups.length === 0 && maySetGroups ? { or: "EPERM" } : "not negative",
  };
}

/** Nothing that is executed from now on can gain privileges. */
export function noNewPrivilegesStep(): Step {
  return { what: "PR_SET_NO_NEW_PRIVS", call: "prctl", args: [PR.SET_NO_NEW_PRIVS, 1, 0, 0, 0] };
}

/**
 * A session keyring of its own, so that the container doesn't see the caller's keys; nothing where there are no keyrings, nor where a seccomp
 * filter forbids keyctl(2), as docker's does: the container's program is under that filter, too.
 */
export function sessionKeyringSteps(name: string): Step[] {
  const asked = trySyscallHere("keyctl", KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
  if (asked < 0 && ["ENOSYS", "EPERM"].includes(errnoName(-asked) ?? "")) return [];
  return [
    {
      what: "keyctl (session keyring)",
      call: "keyctl",
      args: [KEYCTL_JOIN_SESSION_KEYRING, name],
      hint: () => "--no-new-keyring goes without",
    },
    {
      what: "keyctl (permissions)",
      call: "keyctl",
      args: [KEYCTL_SETPERM, KEY_SPEC_SESSION_KEYRING, KEYRING_PERMISSIONS],
      // an LSM's affair; the keyring itself is there
      success: "anything",
    },
  ];
}
