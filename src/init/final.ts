import { during } from "../errors";
import { SYS_ADMIN } from "../linux/capabilities";
import { type ExecOptions, execProgram, rehearseExecution } from "../linux/exec";
import type { Fd } from "../linux/fd";
import { limitSteps, type NamedLimit, type RlimitName } from "../linux/rlimit";
import { filterSteps, type SeccompFilter } from "../linux/seccomp";
import { sendFd, writeAll } from "../linux/socket";
import { perform, type Step } from "../linux/steps";
import type { Linux, Process } from "../oci/config";
import { attributeSteps } from "./attributes";
import { homeOf, takeIdentity } from "./identity";
import { environmentOf, findProgram } from "./program";

/** What comes with the table of a filtered program's last system calls: any byte. */
const WITNESS = "t";

/** A program that was found in the container, and how this process becomes it. */
export interface Program {
  path: string;
  args: readonly string[];
  environment: string[];
  filter: SeccompFilter | undefined;
  /** Takes away the capability that was kept for the filter. */
  last: Step | undefined;
}

export interface ExecutionOptions {
  preserveFds: number;
  /** The soft limit of open files that the caller had. */
  openFiles: number | undefined;
}

/**
 * Moves this thread into the container's v1 cgroups. Bun's other threads stay outside until the program is executed,
 * which ends them.
 */
export function enterCgroups(files: readonly Fd[]): void {
  for (const file of files) {
    during("join a cgroup", () => writeAll(file, "0"));
    file.close();
  }
}

interface ProgramOptions {
  linux: Linux | undefined;
  filter: SeccompFilter | undefined;
  keepsGroups: boolean;
  warn: (message: string) => void;
}

/** The capability that is needed to the end to put a filter into force: without no_new_privs that is a matter of rights. */
export function keptForFilter(process: Process, filter: SeccompFilter | undefined): bigint {
  return filter !== undefined && process.noNewPrivileges !== true ? SYS_ADMIN : 0n;
}

/** Takes the program's attributes and user, and looks the program up as this user: at create, so that create fails. */
export function prepareProgram(process: Process, options: ProgramOptions): Program {
  const { linux, filter, keepsGroups, warn } = options;
  const environment = environmentOf(process, homeOf);
  perform(attributeSteps(process, linux));
  const kept = keptForFilter(process, filter);
  const last = takeIdentity(process, { kept, keepsGroups, warn });
  const args = process.args ?? [];
  const path = findProgram(args[0] ?? "", environment);
  return { path, args, environment, filter, last: kept === 0n ? undefined : last };
}

/**
 * Becomes the program, with its limits and its filter. With a filter `peer` takes the table of the last system calls, and then
 * the filter's listener, if it has one.
 */
export function becomeProgram(
  process: Process,
  program: Program,
  peer: Fd,
  options: ExecutionOptions,
): never {
  const { path, args, environment } = program;
  execProgram(path, args, environment, executionOf(process, program, peer, options));
}

/** Does what of it changes nothing, for who waits for the peer. */
export function rehearse(process: Process, program: Program, peer: Fd, options: ExecutionOptions): void {
  const { path, args, environment } = program;
  rehearseExecution(path, args, environment, executionOf(process, program, peer, options));
}

function executionOf(
  process: Process,
  { filter, last }: Program,
  peer: Fd,
  options: ExecutionOptions,
): ExecOptions {
  const limits = processLimits(process);
  return {
    preserveFds: options.preserveFds,
    openFiles: openFilesFor(limits, options.openFiles),
    witness: filter === undefined ? undefined : (table) => sendFd(peer, table, WITNESS),
    last: [...limitSteps(limits), ...(filter === undefined ? [] : filterSteps(filter, peer, last))],
  };
}

/** The limits of a program as config.json has them. */
export function processLimits(process: Process): NamedLimit[] {
  return (process.rlimits ?? []).map(({ type, soft, hard }, index) => ({
    name: type as RlimitName,
    soft: BigInt(soft),
    hard: BigInt(hard),
    what: `config /process/rlimits/${index}: prlimit (${type} to ${soft}:${hard})`,
  }));
}

/** The soft limit of open files that the program gets from the caller; undefined when it has one of its own. */
export function openFilesFor(
  limits: readonly NamedLimit[],
  ofCaller: number | undefined,
): number | undefined {
  return limits.some(({ name }) => name === "RLIMIT_NOFILE") ? undefined : ofCaller;
}
