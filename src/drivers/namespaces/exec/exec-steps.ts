import { stringVector } from "../../../linux/call/argument-memory";
import { AT, MSG, O, SIG } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { descriptorMessage } from "../../../linux/file/descriptor-passing";
import { forbidStep } from "../../../linux/file/memfd";
import { allCapabilities, permittedCapabilities } from "../../../linux/process/capabilities";
import { sessionKeyringSteps } from "../../../linux/process/credentials";
import { execveStep, repairSteps } from "../../../linux/process/execute";
import { filterSteps } from "../../../linux/process/filter-steps";
import type { Ruleset } from "../../../linux/process/landlock";
import { NAMESPACE_FILES, NAMESPACE_FLAGS, type NamespaceType } from "../../../linux/process/namespace";
import { hideStep, nameStep, parentDeathStep } from "../../../linux/process/process";
import { limitSteps } from "../../../linux/process/rlimit";
import type { SharedRange } from "../../../linux/remote/shared-range";
import { closeStep, inheritSteps, ownerSteps, replaceStep } from "../../../linux/steps/child-steps";
import { controllingTerminalStep } from "../../../linux/terminal/pty";
import { outOfMemoryScoreSteps } from "../birth/out-of-memory-score";
import { STAGE_NAME } from "../birth/stage-name";
import { type NamespaceOwner, ownerInNamespaceOf } from "../birth/user-namespace-owner";
import { affinitySteps, attributeSteps } from "../program/attributes";
import { enterSteps, type Identity, identityOf, standardStreamSteps } from "../program/identity";
import { labelSteps } from "../program/labels";
import { keptForFilter, openFilesFor, processLimits } from "../program/prepared-program";
import type { ExecMaterial } from "./exec-material";
import type { ProgramOutside } from "./program-outside";

/** execve's EACCES: in another directory of PATH there may be a file that can be executed. */

/** Descriptors that the two processes of an exec have; all but the caller's. */
export interface ExecDescriptors {
  /** The container's first process. */
  pidfd: Fd;
  /** The container's root directory. */
  root: Fd;
  /** The program's terminal. */
  terminal: Fd | undefined;
  /** Where the program's process waits. */
  channel: Fd;
  /** The memory that it has the steps in. */
  range: Fd;
  /** What the first one executes. */
  image: Fd;
  /** By which the other one restricts itself. */
  ruleset: Ruleset | undefined;
  /** Lists of cgroups that it joins, which the first one opens: their numbers there. */
  files: readonly number[];
  /** What the first process opens next gets this number, what it opens beside that the second one, and what the other process opens the last. */
  freeInJoiner: number;
  nextInJoiner: number;
  freeInProgram: number;
}

/** Those that only the first process uses. */
function ofJoiner({ pidfd, root, terminal }: Pick<ExecDescriptors, "pidfd" | "root" | "terminal">): Fd[] {
  return [pidfd, root, terminal].filter((fd) => fd !== undefined);
}

/** What of ours the two processes have, beside the range. */
export function usedDescriptors(fds: ExecDescriptors): Fd[] {
  return [...ofJoiner(fds), ...ofBoth(fds), fds.image];
}

function ofBoth({ channel, ruleset }: Pick<ExecDescriptors, "channel" | "ruleset">): Fd[] {
  return ruleset === undefined ? [channel] : [channel, ruleset.fd];
}

/** Descriptors of an exec, with the numbers of those that its processes open. */
export function descriptorsOf(
  { pidfd, rootfs, preserveFds, entry }: ExecMaterial,
  made: Pick<ExecDescriptors, "terminal" | "channel" | "range" | "image" | "ruleset">,
): ExecDescriptors {
  const own = { pidfd, root: rootfs, ...made };
  const kept = [...ofBoth(own), own.range].map(({ number }) => number);
  // what it executes is closed before anything is opened
  const inJoiner = freeNumbers(preserveFds, [...ofJoiner(own).map(({ number }) => number), ...kept]);
  const files = entry.self.map(inJoiner);
  const [freeInJoiner, nextInJoiner] = [inJoiner(), inJoiner()];
  const freeInProgram = freeNumbers(preserveFds, [...files, ...kept])();
  return { ...own, files, freeInJoiner, nextInJoiner, freeInProgram };
}

/** Gives the numbers of descriptors as they are opened: the lowest that is neither a standard stream, nor the caller's, nor taken. */
function freeNumbers(preserveFds: number, taken: readonly number[]): () => number {
  let number = 3 + preserveFds;
  return () => {
    while (taken.includes(number)) number++;
    return number++;
  };
}

/** How an exec's program becomes what config.json says of it. */
export function identityOfExec(options: ExecMaterial, foreign: readonly NamespaceType[]): Identity {
  const { process, filter, keepsGroups } = options;
  const have = foreign.includes("user") ? allCapabilities() : permittedCapabilities();
  const kept = keptForFilter(process, filter);
  return identityOf(process, { have, kept, keepsGroups });
}

/**
 * All that a program starts is in a UTS namespace of its own, a copy of the container's, whatever session or group it makes: nobody leaves that
 * without CAP_SYS_ADMIN, nothing has to be removed after it, and it needs no cgroup, which an ordinary user may not have. All kernels have
 * such namespaces, and nothing looks different in one, as the root of a cgroup namespace would.
 */
const GATHERING: Step = {
  what: "a UTS namespace by which all that it starts is found: unshare",
  call: "unshare",
  args: [NAMESPACE_FLAGS.uts],
};

/**
 * What goes before joining the container's namespaces, and right after that. A descriptor of the namespace is sent to the caller: from outside
 * nobody may look at it while the process that has it can't be traced, and the program might have another one at once. A message that doesn't
 * come is for the caller to warn of: AppArmor may forbid to open the file.
 */
function gatheringSteps({ channel, freeInJoiner: free, nextInJoiner: next }: ExecDescriptors) {
  const directory: Step = {
    what: "open /proc/self/ns",
    call: "openat",
    args: [AT.FDCWD, "/proc/self/ns", O.PATH | O.DIRECTORY | O.CLOEXEC, 0],
    success: { exactly: free },
  };
  const may = (what: string, call: Step["call"], ...args: Step["args"]): Step => ({
    ...{ what, call, args },
    success: "anything",
  });
  const joined = [
    GATHERING,
    may("open the UTS namespace", "openat", free, NAMESPACE_FILES.uts, O.RDONLY | O.CLOEXEC, 0),
    may("pass it on", "sendmsg", channel.number, descriptorMessage(next), MSG.NOSIGNAL),
    may(`close ${next}`, "close", next),
    may(`close ${free}`, "close", free),
  ];
  return { outside: [directory], joined };
}

/** What the first process makes. */
export interface JoinerSteps {
  before: Step[];
  /** The rest, where root enters the working directory, and where the user does so. */
  asRoot: Step[];
  asUser: Step[];
}

/**
 * What the first process makes: it joins the container's namespaces, but for the pid namespace, where only its child will
 * be, and takes the program's identity, but for a right that a seccomp filter needs. `owner` is what we call the program's user.
 */
export function joinerSteps(
  options: ExecMaterial,
  foreign: readonly NamespaceType[],
  identity: Identity,
  owner: number,
  fds: ExecDescriptors,
): JoinerSteps {
  const { process, linux, id, noNewKeyring, keepsGroups, entry, gathers } = options;
  const { terminal, pidfd, freeInJoiner: free } = fds;
  const beside = foreign.includes("user") ? ownerInNamespaceOf(options.pid, process.user) : undefined;
  const { uid } = process.user;
  const streams = terminal === undefined ? [0, 1, 2] : [];
  // each change of identity undoes it
  const parentDeath = [parentDeathStep(SIG.KILL)];
  const gathering = gathers ? gatheringSteps(fds) : undefined;
  const rest = [
    ...identity.capabilities,
    ...ofJoiner(fds).map(closeStep),
    // a change of identity may have undone it
    hideStep(),
  ];
  return {
    before: [
      // the caller's terminal is nothing to it
      { what: "setsid", call: "setsid", args: [] },
      forbidStep(fds.image),
      closeStep(fds.image),
      ...outOfMemoryScoreSteps(process.oomScoreAdj, fds.files[0] ?? free),
      hideStep(),
      nameStep(STAGE_NAME),
      ...entry.self.map((path, index) => openStep(path, fds.files[index] ?? free)),
      ...affinitySteps(process, "initial"),
      // while the host's procfs is there
      ...labelSteps(process, free),
      ...(gathering?.outside ?? []),
      ...joinSteps(foreign, pidfd, fds.root, keepsGroups, beside),
      ...(gathering?.joined ?? []),
      ...parentDeath,
      // the container's own, by its name
      ...(noNewKeyring ? [] : sessionKeyringSteps(`_ses.${id}`)),
      ...(terminal === undefined ? [] : terminalSteps(terminal, uid, owner)),
      ...standardStreamSteps(streams, uid, owner),
      ...attributeSteps(process, linux),
      ...identity.before,
    ],
    asRoot: [...enterSteps(process.cwd, 0, free), ...identity.user, ...parentDeath, ...rest],
    asUser: [
      // where the directory could be opened
      { what: `close ${free}`, call: "close", args: [free], success: "anything" },
      ...identity.user,
      ...parentDeath,
      ...enterSteps(process.cwd, uid, free),
      ...rest,
    ],
  };
}

function openStep(path: string, number: number): Step {
  return {
    what: `openat ${path}`,
    call: "openat",
    args: [AT.FDCWD, path, O.WRONLY | O.CLOEXEC, 0],
    success: { exactly: number },
  };
}

function joinSteps(
  foreign: readonly NamespaceType[],
  pidfd: Fd,
  root: Fd,
  keepsGroups: boolean,
  owner: NamespaceOwner | undefined,
): Step[] {
  const steps: Step[] = [];
  if (foreign.length > 0) {
    steps.push({
      what: `join the container's namespaces (${foreign.join(", ")}): setns`,
      call: "setns",
      // all at once: the kernel takes the rights that the user namespace gives for the others
      args: [pidfd.number, foreign.reduce((flags, type) => flags | NAMESPACE_FLAGS[type], 0)],
    });
  }
  if (owner !== undefined) steps.push(...ownerSteps(keepsGroups, owner));
  return [
    ...steps,
    // where everything was looked up; a container without a mount namespace has nothing else
    { what: "the container's root: fchdir", call: "fchdir", args: [root.number] },
    { what: "the container's root: chroot", call: "chroot", args: ["."] },
  ];
}

function terminalSteps(terminal: Fd, uid: number, owner: number): Step[] {
  return [
    ...standardStreamSteps([terminal.number], uid, owner),
    ...[0, 1, 2].map((stream) => replaceStep("terminal", stream, terminal)),
  ];
}

/** What the program's process makes, in the container's pid namespace; the last steps are the execution. */
export function programSteps(
  options: ExecMaterial,
  program: ProgramOutside,
  identity: Identity,
  fds: ExecDescriptors,
): Step[] {
  const { process, filter, preserveFds } = options;
  const { files, terminal, channel, ruleset, freeInProgram } = fds;
  const limits = processLimits(process);
  const last = keptForFilter(process, filter) === 0n ? undefined : identity.last;
  return [
    { what: "setsid", call: "setsid", args: [] },
    ...(terminal === undefined ? [] : [controllingTerminalStep(0)]),
    {
      what: "wait for the caller",
      call: "read",
      args: [channel.number, new Uint8Array(1), 1],
      success: { atLeast: 1 },
    },
    ...files.map((file): Step => ({ what: "join a cgroup: write", call: "write", args: [file, "0", 1] })),
    ...affinitySteps(process, "final"),
    ...inheritSteps(preserveFds, []),
    ...repairSteps(openFilesFor(limits)),
    ...limitSteps(limits),
    ...(ruleset === undefined ? [] : [ruleset.restrictStep]),
    ...(filter === undefined ? [] : filterSteps(filter, channel, last, freeInProgram)),
    ...executionSteps(program),
  ];
}

/** Of several files that may be the program the first that the kernel lets this user execute. */
function executionSteps({ places, args, environment }: ProgramOutside): Step[] {
  const [argv, env] = [stringVector(args), stringVector(environment)];
  return places.map(({ path, here }, index) => {
    const step = execveStep(path, argv, env);
    if (index === places.length - 1) return step;
    return here === "found" ? { ...step, success: { only: "EACCES" } } : { ...step, success: "anything" };
  });
}

/** What an exec's process and its maker have in common. */
export interface ExecShared {
  /** In its memory are the steps that it makes, and how they ended. */
  range: SharedRange;
  /** Our end of the socket at which it waits for a byte; its own is closed when it executes its program, and when it ends. */
  channel: Fd;
}

/** What an exec's process does from its birth on. */
export interface ExecEnd {
  program: ProgramOutside;
  steps: readonly Step[];
  /** Its seccomp filter has a listener, or there is one at all. */
  filter: "listens" | "filters" | undefined;
}
