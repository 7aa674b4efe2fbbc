import { during } from "../errors";
import { type CapabilityWords, SYS_ADMIN } from "../linux/capabilities";
import { type ExecOptions, execProgram } from "../linux/exec";
import { Fd } from "../linux/fd";
import { limitSteps, type RlimitName } from "../linux/rlimit";
import { filterSteps, type SeccompFilter } from "../linux/seccomp";
import { writeAll } from "../linux/socket";
import type { Linux, Process } from "../oci/config";
import { applyAttributes } from "./attributes";
import { takeIdentity } from "./identity";
import { environmentOf, findProgram } from "./program";

/** A program that was found in the container, and how this process becomes it. */
export interface Program {
  path: string;
  args: readonly string[];
  environment: string[];
  filter: SeccompFilter | undefined;
  /** What takes away the capabilities that were kept until now. */
  capabilities: CapabilityWords;
  /** One was kept for the filter. */
  filterNeedsRight: boolean;
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
    using file = new Fd(number, "a cgroup's file");
    during("join a cgroup", () => writeAll(file, "0"));
  }
}

interface ProgramOptions {
  linux: Linux | undefined;
  filter: SeccompFilter | undefined;
  /** Capabilities that are still needed. */
  kept: bigint;
  warn: (message: string) => void;
}

/** Takes the program's attributes and user, and looks the program up as this user: at create, so that create fails. */
export function prepareProgram(process: Process, options: ProgramOptions): Program {
  const { linux, filter, kept, warn } = options;
  const environment = environmentOf(process);
  applyAttributes(process, linux);
  const filterNeedsRight = filter !== undefined && process.noNewPrivileges !== true;
  const capabilities = takeIdentity(process, filterNeedsRight ? kept | SYS_ADMIN : kept, warn);
  const args = process.args ?? [];
  const path = findProgram(args[0] ?? "", environment);
  return { path, args, environment, filter, capabilities, filterNeedsRight };
}

/** Becomes the program, with its limits and its filter. `peer` takes the filter's listener, if it has one. */
export function becomeProgram(
  process: Process,
  program: Program,
  peer: Fd,
  options: ExecutionOptions,
): never {
  const { path, args, environment } = program;
  execProgram(path, args, environment, executionOf(process, program, peer, options));
}

/** How a process becomes the program. */
export function executionOf(
  process: Process,
  { filter, capabilities, filterNeedsRight }: Program,
  peer: Fd,
  options: ExecutionOptions,
): ExecOptions {
  const limits = (process.rlimits ?? []).map(({ type, soft, hard }, index) => ({
    name: type as RlimitName,
    soft: BigInt.asUintN(64, BigInt(soft)),
    hard: BigInt.asUintN(64, BigInt(hard)),
    what: `config /process/rlimits/${index}: prlimit (${type} to ${soft}:${hard})`,
  }));
  const limiting = limitSteps(limits);
  const filtering =
    filter === undefined
      ? { steps: [], memory: [] }
      : filterSteps(filter, peer, filterNeedsRight ? capabilities : undefined);
  return {
    preserveFds: options.preserveFds,
    openFiles: limits.some(({ name }) => name === "RLIMIT_NOFILE") ? undefined : options.openFiles,
    filtered: filter !== undefined,
    last: {
      steps: [...limiting.steps, ...filtering.steps],
      memory: [...limiting.memory, ...filtering.memory],
    },
  };
}
