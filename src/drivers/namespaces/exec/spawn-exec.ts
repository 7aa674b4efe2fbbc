import { asHakoError, HakoError } from "../../../base/errors";
import type { Explanation } from "../../../explain/execution";
import type { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { trySyscall } from "../../../linux/call/syscall";
import { hasErrno } from "../../../linux/file/file";
import { fileStatusOf } from "../../../linux/file/stat";
import { socketPair } from "../../../linux/file/unix-socket";
import { hasListener } from "../../../linux/process/filter-steps";
import type { Ruleset } from "../../../linux/process/landlock";
import { NAMESPACE_TYPES, type NamespaceType, namespaceName } from "../../../linux/process/namespace";
import { hasItsNumber } from "../../../linux/process/process";
import { RemoteProcess } from "../../../linux/remote/remote-process";
import { SharedRange } from "../../../linux/remote/shared-range";
import { type BornProcess, executedOutside, toldToBear } from "../birth/born-process";
import { ownerInNamespaceOf } from "../birth/user-namespace-owner";
import { CWD } from "../program/identity";
import { noConsoleSocket, openTerminal } from "../program/terminal";
import type { ExecMaterial } from "./exec-material";
import {
  descriptorsOf,
  type ExecDescriptors,
  identityOfExec,
  type JoinerSteps,
  joinerSteps,
  programSteps,
  usedDescriptors,
} from "./exec-steps";
import { ProgramOutside } from "./program-outside";
import { WaitingExec } from "./waiting-exec";

/** Loaded on first use. */
const rare = {
  /** Loaded for a container whose program Landlock keeps in. */
  get landlock() {
    return require("../../../linux/process/landlock") as typeof import("../../../linux/process/landlock");
  },
  get landlockSteps() {
    return require("../program/landlock-steps") as typeof import("../program/landlock-steps");
  },
  get explainDeath() {
    return require("../../../explain/death") as typeof import("../../../explain/death");
  },
  get explainClone() {
    return require("../../../explain/clone") as typeof import("../../../explain/clone");
  },
};

/**
 * The namespaces of a container's process that are not ours: setns(2) into our own user namespace fails, and into others is idle, so
 * that of those which were made for it nobody has to ask.
 */
function foreignNamespaces({ pid, linux }: ExecMaterial): NamespaceType[] {
  const made = (type: NamespaceType) =>
    type !== "user" && linux?.namespaces?.some((one) => one.type === type && !one.path) === true;
  return NAMESPACE_TYPES.filter((type) => {
    if (made(type)) return true;
    const theirs = namespaceName(pid, type);
    return theirs !== undefined && theirs !== namespaceName("self", type);
  });
}

/**
 * Makes a process in the namespaces of a container's first one; it waits for `release`. What the container can see of it,
 * from the first moment on, is a process with the program's identity in the container's own root, whose executable only makes
 * system calls: all that had to be looked up was so from outside. It is born by one that was executed here, joined the container's
 * namespaces, and took that identity.
 */
export function spawnExec(options: ExecMaterial): WaitingExec {
  const { pid, pidfd, filter } = options;
  const foreign = foreignNamespaces(options);
  const program = new ProgramOutside(options);
  // what was found by its number was found at it only if it still has the number
  if (!hasItsNumber(pidfd)) {
    throw new HakoError({
      code: "state",
      message: `the container's process ${pid} has ended: container not running`,
    });
  }
  const range = SharedRange.make();
  const [ours, theirs] = socketPair("socket to the program's process");
  using channel = theirs;
  try {
    using image = range.program();
    using ruleset = rulesetOf(options);
    using terminal = options.process.terminal === true ? terminalOf(options, program) : undefined;
    const fds = descriptorsOf(options, { terminal, channel, range: range.file, image, ruleset });
    const identity = identityOfExec(options, foreign);
    const { uid } = options.process.user;
    const owner = foreign.includes("user") ? program.onHost("uid", uid) : uid;
    const joiner = joinerSteps(options, foreign, identity, owner, fds);
    const steps = programSteps(options, program, identity, fds);
    const born = explained(options, foreign, () => bear(options, range, fds, joiner, steps));
    const filtered = filter === undefined ? undefined : hasListener(filter) ? "listens" : "filters";
    return new WaitingExec(born, { range, channel: ours }, { program, steps, filter: filtered });
  } catch (error) {
    ours.close();
    range[Symbol.dispose]();
    throw error;
  }
}

/**
 * The program's process, by one that joins and was told everything before it is executed. As root first: the user may have no right
 * to search the way to the working directory. Or only the user has.
 */
function bear(
  { entry: { born }, preserveFds }: ExecMaterial,
  range: SharedRange,
  fds: ExecDescriptors,
  { before, asRoot, asUser }: JoinerSteps,
  last: readonly Step[],
): BornProcess {
  const remote = new RemoteProcess(range);
  remote.prepare(last, false);
  const first = [...before, ...asRoot];
  toldToBear(remote, first);
  const joiner = executedOutside(
    { born, preserveFds, keep: usedDescriptors(fds), explainEnd },
    remote,
    fds.image,
  );
  try {
    awaitEither(joiner, first, asUser);
    return joiner;
  } catch (error) {
    joiner[Symbol.dispose]();
    throw error;
  }
}

function awaitEither(joiner: BornProcess, first: readonly Step[], asUser: readonly Step[]): void {
  try {
    joiner.awaitChild(first);
  } catch (error) {
    if (!hasErrno(error, "EACCES", "EPERM") || !(error as HakoError).message.startsWith(CWD)) throw error;
    toldToBear(joiner.remote, asUser);
    joiner.awaitChild(asUser);
  }
}

/** By which it restricts itself, as the container's program has. */
function rulesetOf({ landlock, rootfs, process, preserveFds }: ExecMaterial): Ruleset | undefined {
  if (landlock === undefined) return undefined;
  const opened = rare.landlock.openedAgain(preserveFds, process.terminal === true);
  return rare.landlockSteps.madeRuleset(landlock, rootfs, opened);
}

function explainEnd(signal: number | undefined): Explanation {
  return rare.explainDeath.explainEnd({ signal, cgroup: undefined });
}

function terminalOf(options: ExecMaterial, program: ProgramOutside): Fd {
  const { consoleSocket, process: specified, rootfs } = options;
  if (consoleSocket === undefined) throw noConsoleSocket();
  return openTerminal(consoleSocket, specified, (slave) => giveToOwner(slave, options, program), rootfs);
}

/** A terminal is whose that opens it. One in a user namespace would open it as its root, who can then give it to the user. */
function giveToOwner(slave: Fd, { pid, process: { user } }: ExecMaterial, program: ProgramOutside): void {
  const owner = ownerInNamespaceOf(pid, user);
  const [uid, gid] = [program.onHost("uid", owner.uid), program.onHost("gid", owner.gid)];
  const now = fileStatusOf(slave);
  // a group that isn't ours is the file system's own (devpts, gid=)
  const group = now.gid === process.getegid?.() ? gid : now.gid;
  if (now.uid === uid && now.gid === group) return;
  // without the right to, the terminal works, but can't be opened anew
  trySyscall("fchown", slave.number, uid, group);
}

function explained<T>(
  { entry: { born } }: ExecMaterial,
  foreign: readonly NamespaceType[],
  action: () => T,
): T {
  try {
    return action();
  } catch (thrown) {
    throw rare.explainClone.explainClone(asHakoError(thrown), {
      flags: 0,
      born,
      joinsPid: foreign.includes("pid"),
    });
  }
}
