import { during } from "../errors";
import { type CapabilityWords, SYS_ADMIN } from "../linux/capabilities";
import { execProgram } from "../linux/exec";
import { Fd } from "../linux/fd";
import { limitSteps, type RlimitName } from "../linux/rlimit";
import { filterSteps, type SeccompFilter } from "../linux/seccomp";
import { writeAll } from "../linux/socket";
import type { Linux, Process } from "../oci/config";
import { applyAttributes } from "./attributes";
import { takeIdentity } from "./identity";
import { applyLabels } from "./labels";
import { environmentOf, findProgram } from "./program";

/** A program that was found in the container, and how this process becomes it. */
export interface Program {
  path: string;
  args: readonly string[];
  environment: string[];
  filter: SeccompFilter | undefined;
  /** What takes away the capability that the filter needs; undefined if none was kept. */
  capabilities: CapabilityWords | undefined;
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
export function enterCgroups(files: readonly number[]): void {
  for (const number of files) {
    using file = new Fd(number);
    during("join a cgroup", () => writeAll(file, "0"));
  }
}

/** Takes the program's attributes and user, and looks the program up as this user: at create, so that create fails. */
export function prepareProgram(
  process: Process,
  linux: Linux | undefined,
  filter: SeccompFilter | undefined,
  warn: (message: string) => void,
): Program {
  const environment = environmentOf(process);
  applyLabels(process);
  applyAttributes(process, linux);
  const needsRight = filter !== undefined && process.noNewPrivileges !== true;
  const capabilities = takeIdentity(process, needsRight ? SYS_ADMIN : 0n, warn);
  const args = process.args ?? [];
  const path = findProgram(args[0] ?? "", environment);
  return { path, args, environment, filter, capabilities: needsRight ? capabilities : undefined };
}

/** Becomes the program, with its limits and its filter. `peer` takes the filter's listener, if it has one. */
export function becomeProgram(
  process: Process,
  program: Program,
  peer: Fd,
  options: ExecutionOptions,
): never {
  const { path, args, environment, filter, capabilities } = program;
  const limits = (process.rlimits ?? []).map(({ type, soft, hard }, index) => ({
    name: type as RlimitName,
    soft: BigInt.asUintN(64, BigInt(soft)),
    hard: BigInt.asUintN(64, BigInt(hard)),
    what: `config /process/rlimits/${index}: prlimit (${type} to ${soft}:${hard})`,
  }));
  const limiting = limitSteps(limits);
  const filtering =
    filter === undefined ? { steps: [], memory: [] } : filterSteps(filter, peer, capabilities);
  execProgram(path, args, environment, {
    preserveFds: options.preserveFds,
    openFiles: limits.some(({ name }) => name === "RLIMIT_NOFILE") ? undefined : options.openFiles,
    filtered: filter !== undefined,
    last: {
      steps: [...limiting.steps, ...filtering.steps],
      memory: [...limiting.memory, ...filtering.memory],
    },
  });
}
