import { allCapabilities, permittedCapabilities } from "../linux/capabilities";
import { closeStep, inheritSteps, ownerSteps, replaceStep } from "../linux/child-steps";
import { sessionKeyringSteps } from "../linux/credentials";
import { errnoNumber } from "../linux/errno";
import { execveStep, repairSteps } from "../linux/exec";
import type { Fd } from "../linux/fd";
import { stringVector } from "../linux/memory";
import { NAMESPACE_FLAGS, type NamespaceType } from "../linux/namespace";
import { hideStep, nameStep, parentDeathStep } from "../linux/process";
import { controllingTerminalStep } from "../linux/pty";
import { limitSteps } from "../linux/rlimit";
import { filterSteps } from "../linux/seccomp";
import type { Step } from "../linux/steps";
import { affinitySteps, attributeSteps } from "./attributes";
import type { ExecChannels } from "./exec-process";
import { keptForFilter, openFilesFor, processLimits } from "./final";
import { enterSteps, type Identity, identityOf, standardStreamSteps } from "./identity";
import { labelSteps } from "./labels";
import { outOfMemoryScoreSteps } from "./out-of-memory-score";
import { type NamespaceOwner, ownerBeside } from "./owner";
import type { ProgramOutside } from "./program-outside";
import type { ExecOptions } from "./spawn-exec";
import { STAGE_NAME } from "./stage-name";

/** execve's EACCES: in another directory of PATH there may be a file that can be executed. */
const DENIED = -errnoNumber("EACCES");
const SIGKILL = 9;

/** Descriptors that the two processes of an exec have; all but the caller's. */
export interface ExecDescriptors {
  /** The container's root directory. */
  root: Fd;
  /** The program's terminal. */
  terminal: Fd | undefined;
  /** Of cgroups that it joins. */
  files: readonly Fd[];
  channels: ExecChannels;
}

/** Those that only the first process uses. */
function ofJoiner({ root, terminal }: ExecDescriptors, pidfd: Fd): Fd[] {
  return [pidfd, root, terminal].filter((fd) => fd !== undefined);
}

function ofProgram({ files, channels }: ExecDescriptors): Fd[] {
  return [channels.go.read, channels.listener?.[1], ...files].filter((fd) => fd !== undefined);
}

/** What steps use, but for where they report. */
export function usedDescriptors(fds: ExecDescriptors, pidfd: Fd): Fd[] {
  return [...ofJoiner(fds, pidfd), ...ofProgram(fds)];
}

/** The lowest number of a descriptor that is neither a standard stream, nor the caller's, nor one of these. */
function lowestFree(preserveFds: number, fds: readonly Fd[]): number {
  const taken = new Set(fds.map(({ number }) => number));
  let number = 3 + preserveFds;
  while (taken.has(number)) number++;
  return number;
}

/** How an exec's program becomes what config.json says of it. */
export function identityOfExec(options: ExecOptions, foreign: readonly NamespaceType[]): Identity {
  const { process, filter, keepsGroups, warn } = options;
  const have = foreign.includes("user") ? allCapabilities() : permittedCapabilities();
  const kept = keptForFilter(process, filter);
  return identityOf(process, { have, kept, keepsGroups, warn });
}

/**
 * What the first process makes: it joins the container's namespaces, but for the pid namespace, where only its child will
 * be, and takes the program's identity, but for a right that a seccomp filter needs. `owner` is what we call the program's user;
 * `entersAs` is who enters the working directory, the user or the container's root.
 */
export function joinerSteps(
  options: ExecOptions,
  foreign: readonly NamespaceType[],
  identity: Identity,
  owner: number,
  entersAs: "root" | "user",
  fds: ExecDescriptors,
): Step[] {
  const { process, linux, id, pidfd, preserveFds, noNewKeyring, keepsGroups } = options;
  const { terminal } = fds;
  const beside = foreign.includes("user") ? ownerBeside(options.pid, process.user) : undefined;
  const free = lowestFree(preserveFds, [...usedDescriptors(fds, pidfd), fds.channels.reports.write]);
  const { uid } = process.user;
  const enter = enterSteps(process.cwd, entersAs === "root" ? 0 : uid, free);
  const streams = terminal === undefined ? [0, 1, 2] : [];
  // each change of identity undoes it
  const parentDeath = [parentDeathStep(SIGKILL)];
  return [
    // the caller's terminal is nothing to it
    { what: "setsid", call: "setsid", args: [] },
    ...outOfMemoryScoreSteps(process.oomScoreAdj, free),
    hideStep(),
    nameStep(STAGE_NAME),
    ...affinitySteps(process, "initial"),
    // while the host's procfs is there
    ...labelSteps(process, free),
    ...joinSteps(foreign, pidfd, fds.root, keepsGroups, beside),
    ...parentDeath,
    // the container's own, by its name
    ...(noNewKeyring ? [] : sessionKeyringSteps(`_ses.${id}`)),
    ...(terminal === undefined ? [] : terminalSteps(terminal, uid, owner)),
    ...standardStreamSteps(streams, uid, owner),
    ...attributeSteps(process, linux),
    ...identity.before,
    ...(entersAs === "root" ? enter : []),
    ...identity.user,
    ...parentDeath,
    ...(entersAs === "user" ? enter : []),
    ...identity.capabilities,
    ...ofJoiner(fds, pidfd).map(closeStep),
    // a change of identity may have undone it
    hideStep(),
  ];
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
  options: ExecOptions,
  program: ProgramOutside,
  identity: Identity,
  fds: ExecDescriptors,
): Step[] {
  const { process, filter, preserveFds, openFiles } = options;
  const { files, terminal, channels } = fds;
  const go = channels.go.read;
  const limits = processLimits(process);
  const free = lowestFree(preserveFds, [...ofProgram(fds), channels.reports.write]);
  const last = keptForFilter(process, filter) === 0n ? undefined : identity.last;
  return [
    { what: "setsid", call: "setsid", args: [] },
    ...(terminal === undefined ? [] : [controllingTerminalStep(0)]),
    { what: "wait for the caller", call: "read", args: [go.number, new Uint8Array(1), 1], least: 1 },
    ...files.map(
      (file): Step => ({ what: "join a cgroup: write", call: "write", args: [file.number, "0", 1] }),
    ),
    ...affinitySteps(process, "final"),
    ...inheritSteps(preserveFds, []),
    ...repairSteps(openFilesFor(limits, openFiles)),
    ...limitSteps(limits),
    ...(filter === undefined ? [] : filterSteps(filter, channels.listener?.[1] ?? go, last, free)),
    ...executionSteps(program),
  ];
}

/** Of several files that may be the program the first that the kernel lets this user execute. */
function executionSteps({ places, args, environment }: ProgramOutside): Step[] {
  const [argv, env] = [stringVector(args), stringVector(environment)];
  return places.map(({ path, seen }, index) => {
    const step = execveStep(path, argv, env);
    if (index === places.length - 1) return step;
    return seen ? { ...step, least: DENIED, most: BigInt(DENIED) } : { ...step, optional: true };
  });
}
