import type { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { KILL, SYS_ADMIN } from "../../../linux/process/capabilities";
import type { SeccompFilter } from "../../../linux/process/filter-steps";
import type { NamedLimit } from "../../../linux/process/rlimit";
import { callerOpenFiles } from "../../../linux/process/rlimit";
import type { Linux, Process } from "../../../oci/config";
import type { OwnInit } from "../../interface/driver";
import { attributeSteps } from "./attributes";
import { type IdentityOptions, takeIdentity } from "./identity";
import { findProgram } from "./program-file";

/** A container's program, and how this process becomes it. */
export interface Program {
  /** Its path in the container, or the file itself, which lies in memory; undefined where a first process of hako's is alone. */
  file: string | Fd | undefined;
  args: readonly string[];
  environment: string[];
  filter: SeccompFilter | undefined;
  /** Takes away the capabilities that were kept: for the filter, and for a first process of hako's. */
  last: Step | undefined;
}

interface ProgramOptions extends Omit<IdentityOptions, "kept"> {
  linux: Linux | undefined;
  filter: SeccompFilter | undefined;
  environment: string[];
  /** In place of the one that args[0] names. */
  inMemory: Fd | undefined;
  /** It is a child of a first process of hako's, or there is none. */
  ownInit: Pick<OwnInit, "idle"> | undefined;
  /** What the process does before, and right behind its change of identity. */
  first: readonly Step[];
  after: readonly Step[];
}

/** The capability that is needed to the end to put a filter into force: without no_new_privs that is a matter of rights. */
export function keptForFilter(process: Process, filter: SeccompFilter | undefined): bigint {
  return filter !== undefined && process.noNewPrivileges !== true ? SYS_ADMIN : 0n;
}

/** Takes the program's attributes and user, and looks the program up as this user: at create, so that create fails. */
export function prepareProgram(process: Process, options: ProgramOptions): Program {
  const { linux, filter, environment, inMemory, ownInit, first, after } = options;
  // that one passes signals on, also when the program is another user's by then
  const kept = keptForFilter(process, filter) | (ownInit === undefined ? 0n : KILL);
  const before = [...first, ...attributeSteps(process, linux)];
  const last = takeIdentity(process, { ...options, kept }, before, after);
  const args = process.args ?? [];
  const file = ownInit?.idle ? undefined : (inMemory ?? findProgram(args[0] ?? "", environment));
  return { file, args, environment, filter, last: kept === 0n ? undefined : last };
}

/** The limits of a program as config.json has them. */
export function processLimits(process: Process): NamedLimit[] {
  return (process.rlimits ?? []).map(({ type, soft, hard }, index) => ({
    name: type,
    soft: BigInt(soft),
    hard: BigInt(hard),
    what: `config /process/rlimits/${index}: prlimit (${type} to ${soft}:${hard})`,
  }));
}

/** The soft limit of open files that the program gets from the caller; undefined when it has one of its own. */
export function openFilesFor(limits: readonly NamedLimit[]): number | undefined {
  return limits.some(({ name }) => name === "RLIMIT_NOFILE") ? undefined : callerOpenFiles();
}
