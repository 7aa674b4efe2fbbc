import { HakoError } from "../../base/errors";
import { AT, CLONE, O, OPEN_TREE } from "../call/constants";
import { Fd } from "../call/fd";
import type { Step } from "../call/step";
import { systemError } from "../call/syscall";
import { stepError } from "../call/walk";
import { openAt, openToLook } from "../file/path";
import { openPlaceOf } from "../file/stat";
import { NAMESPACE_FLAGS, type NamespaceType, namespaceName } from "../process/namespace";
import { reapChild } from "../process/process";
import { cloneChild, Reports } from "../steps/clone-child";
import type { Report } from "../steps/table";

const ROOT = "root directory of a mount namespace";

/** Whether a process is in another namespace than this one. */
function isForeign(pid: number, type: NamespaceType): boolean {
  const theirs = namespaceName(pid, type);
  if (theirs === undefined) throw systemError("readlinkat", "ESRCH", `${type} namespace of process ${pid}`);
  return theirs !== namespaceName("self", type);
}

/**
 * The root directory of a process's mount namespace, as joining that gives it (setns(2)): the process itself may have another
 * one (chroot(2)). In a process whose mount namespace is hako's, its own root directory.
 */
export function namespaceRoot(pid: number, pidfd: Fd): Fd {
  const own = processRoot(pid);
  try {
    if (isTop(own) || !isForeign(pid, "mount")) return own;
  } catch (error) {
    own.close();
    throw error;
  }
  own.close();
  return joinedRoot(pidfd, isForeign(pid, "user"));
}

/** The root directory of a process. */
export function processRoot(pid: number): Fd {
  return openAt(undefined, `/proc/${pid}/root`, O.PATH | O.DIRECTORY);
}

/** Whether nothing is above a directory: only the root of a mount namespace is such a one, and hako's own root. */
function isTop(directory: Fd): boolean {
  // not there, or closed to us: below something at any rate
  using above = openToLook(`${directory.path}/..`);
  return above !== undefined && openPlaceOf(above).name === openPlaceOf(directory).name;
}

/** A child joins and opens it. */
function joinedRoot(pidfd: Fd, joinsUser: boolean): Fd {
  return openedIn(pidfd, joinsUser, {
    what: ROOT,
    call: "openat",
    args: [AT.FDCWD, "/", O.PATH | O.DIRECTORY | O.CLOEXEC, 0],
  });
}

/** A detached copy of all that is mounted in a process's mount namespace; nobody else sees it. */
export function namespaceTree(pidfd: Fd, joinsUser: boolean): Fd {
  return openedIn(pidfd, joinsUser, {
    what: "copy of a mount namespace's tree",
    call: "open_tree",
    args: [AT.FDCWD, "/", OPEN_TREE.CLONE | O.CLOEXEC | AT.RECURSIVE],
  });
}

/** What a step opens in a mount namespace. */
function openedIn(pidfd: Fd, joinsUser: boolean, step: Step): Fd {
  return openedAfter(joinStep(pidfd, joinsUser), joinsUser, step);
}

/** What a step opens in the network namespace that a descriptor is of, or in that of its process. */
export function openInNetwork(place: Fd, joinsUser: boolean, step: Step): Fd {
  const flags = NAMESPACE_FLAGS.network | (joinsUser ? NAMESPACE_FLAGS.user : 0);
  const what = "join the container's network namespace: setns";
  return openedAfter({ what, call: "setns", args: [place.number, flags] }, joinsUser, step);
}

/** What a step opens after one that joins: we have one table of descriptors. */
function openedAfter(join: Step, joinsUser: boolean, step: Step): Fd {
  // the number of what was opened is a result to report
  const steps: Step[] = [join, { ...step, success: "never" }];
  const [at, result] = joined(steps, CLONE.FILES, joinsUser) ?? [0, 0];
  if (at === 1 && result >= 0) return new Fd(result, step.what);
  throw stepError(steps, [at, result]);
}

/** Has steps made in a process's mount namespace, with the root directory of that; throws the error of the one that fails. */
export function performIn(pidfd: Fd, joinsUser: boolean, steps: readonly Step[]): void {
  const all: Step[] = [joinStep(pidfd, joinsUser), ...steps, { what: "exit", call: "exit_group", args: [0] }];
  const failed = joined(all, 0, joinsUser);
  if (failed !== undefined) throw stepError(all, failed);
}

function joinStep(pidfd: Fd, joinsUser: boolean): Step {
  const flags = NAMESPACE_FLAGS.mount | (joinsUser ? NAMESPACE_FLAGS.user : 0);
  return { what: "join the container's mount namespace: setns", call: "setns", args: [pidfd.number, flags] };
}

/** Has a child make the steps, of which the first joins; what it reports. */
function joined(steps: readonly Step[], shares: number, joinsUser: boolean): Report | undefined {
  using reports = new Reports([]);
  // who joins a user namespace changes the rights to its memory, which then must not be ours
  const plan = { flags: shares, cgroup: undefined, steps, waitsForNothing: !joinsUser };
  const ending = reapChild(cloneChild(plan, reports), true);
  const report = reports.next();
  if (report !== undefined || ending?.signal === undefined) return report;
  throw new HakoError({ code: "system", message: "the process that joins a namespace has died" });
}
