import type { CgroupEntry } from "../cgroup";
import { asHakoError, HakoError } from "../errors";
import { type Attendance, launchAttended } from "../linux/attendant";
import { type Fd, FdList } from "../linux/fd";
import { hasErrno } from "../linux/file";
import { type LaunchPlan, launch } from "../linux/launch";
import { NAMESPACE_TYPES, type NamespaceType, namespaceInode } from "../linux/namespace";
import { O, openAt } from "../linux/path";
import { aliveProcess, startTimeOf } from "../linux/process";
import { hasListener, type SeccompFilter } from "../linux/seccomp";
import { statusOf } from "../linux/stat";
import { trySyscall } from "../linux/syscall";
import type { Linux, Process } from "../oci/config";
import { ExecChannels, ExecProcess } from "./exec-process";
import {
  type ExecDescriptors,
  identityOfExec,
  joinerSteps,
  programSteps,
  usedDescriptors,
} from "./exec-steps";
import { CWD } from "./identity";
import { ownerBeside } from "./owner";
import { ProgramOutside } from "./program-outside";
import { noConsoleSocket, openTerminal } from "./terminal";

/** What a process beside the first of a container is made from. */
export interface ExecOptions {
  /** The container's first process, and a descriptor of it. */
  pid: number;
  startTime: number;
  pidfd: Fd;
  /** The root directory of its mount namespace. */
  rootfs: Fd;
  /** The id of the container. */
  id: string;
  process: Process;
  /** Where the container's files say that a user is at home. */
  homeOf(uid: number): string;
  /** What of the container's /linux concerns each of its programs. */
  linux: Pick<Linux, "personality" | "memoryPolicy"> | undefined;
  /** The container's seccomp filter. */
  filter: SeccompFilter | undefined;
  noNewKeyring: boolean;
  /** The program has our groups in place of its own. */
  keepsGroups: boolean;
  preserveFds: number;
  /** The soft limit of open files that the caller had. */
  openFiles: number | undefined;
  entry: CgroupEntry;
  consoleSocket: Fd | undefined;
  /** Who takes our place as soon as possible: nothing is handed out, and no filter is to be watched. */
  attendance: Attendance | undefined;
  warn(message: string): void;
}

/** The namespaces of a process that are not ours: setns(2) into our own user namespace fails, and into others is idle. */
function foreignNamespaces(pid: number): NamespaceType[] {
  return NAMESPACE_TYPES.filter((type) => {
    const theirs = namespaceInode(pid, type);
    return theirs !== undefined && theirs !== namespaceInode("self", type);
  });
}

/**
 * Makes a process in the namespaces of a container's first one; it waits for `release`. What the container can see of it,
 * from the first moment on, is a process with the program's identity in the container's own root, whose executable only makes
 * system calls: all that had to be looked up was so from outside.
 */
export function spawnExec(options: ExecOptions): ExecProcess {
  const { pid, startTime, rootfs, entry, process: specified, filter } = options;
  const foreign = foreignNamespaces(pid);
  const program = new ProgramOutside(options);
  const channels = new ExecChannels(filter !== undefined && hasListener(filter));
  try {
    // what was found by its number was found at it only if it still has the number
    if (aliveProcess(pid, startTime) === undefined) {
      throw new HakoError({
        code: "state",
        message: `the container's process ${pid} has ended: container not running`,
      });
    }
    using files = new FdList();
    for (const path of entry.self) files.add(openAt(undefined, path, O.WRONLY | O.CLOEXEC));
    using terminal = specified.terminal === true ? terminalOf(options, program) : undefined;
    const fds: ExecDescriptors = { root: rootfs, terminal, files: files.all, channels };
    const identity = identityOfExec(options, foreign);
    const steps = programSteps(options, program, identity, fds);
    const owner = program.onHost("uid", specified.user.uid);
    const startAs = (who: "root" | "user") => {
      const joiner = joinerSteps(options, foreign, identity, owner, who, fds);
      return start(options, foreign, { joiner, program: steps }, fds);
    };
    const made = enteringAsEither(startAs);
    channels.handOver();
    return new ExecProcess(made, startTimeOf(made), channels, program, steps, filter !== undefined);
  } catch (error) {
    channels[Symbol.dispose]();
    throw error;
  }
}

/** As root first: the user may have no right to search the way to the working directory. Or only the user has. */
function enteringAsEither(startAs: (who: "root" | "user") => number): number {
  try {
    return startAs("root");
  } catch (error) {
    if (!hasErrno(error, "EACCES", "EPERM") || !(error as HakoError).message.startsWith(CWD)) throw error;
    return startAs("user");
  }
}

function terminalOf(options: ExecOptions, program: ProgramOutside): Fd {
  const { consoleSocket, process: specified, rootfs } = options;
  if (consoleSocket === undefined) throw noConsoleSocket();
  return openTerminal(consoleSocket, specified, (slave) => giveToOwner(slave, options, program), rootfs);
}

/** A terminal is whose that opens it. One in a user namespace would open it as its root, who can then give it to the user. */
function giveToOwner(slave: Fd, { pid, process: { user } }: ExecOptions, program: ProgramOutside): void {
  const owner = ownerBeside(pid, user);
  const [uid, gid] = [program.onHost("uid", owner.uid), program.onHost("gid", owner.gid)];
  const now = statusOf(slave);
  // a group that isn't ours is the file system's own (devpts, gid=)
  const group = now.gid === process.getegid?.() ? gid : now.gid;
  if (now.uid === uid && now.gid === group) return;
  // without the right to, the terminal works, but can't be opened anew
  trySyscall("fchown", slave.number, uid, group);
}

function start(
  { entry: { born }, pidfd, preserveFds, attendance }: ExecOptions,
  foreign: readonly NamespaceType[],
  steps: Pick<LaunchPlan, "joiner" | "program">,
  fds: ExecDescriptors,
): number {
  using cgroup = born === undefined ? undefined : openAt(undefined, born, O.RDONLY | O.DIRECTORY | O.CLOEXEC);
  const plan = { ...steps, cgroup, preserveFds, keep: usedDescriptors(fds, pidfd) };
  const { reports, go } = fds.channels;
  try {
    if (attendance === undefined) return launch(plan, reports);
    return launchAttended(plan, reports, go.write, attendance);
  } catch (thrown) {
    const { explainClone } = require("../explain/clone") as typeof import("../explain/clone");
    throw explainClone(asHakoError(thrown), { flags: 0, born, joinsPid: foreign.includes("pid") });
  }
}
