import { during } from "../errors";
import { execProgram } from "../linux/exec";
import { Fd } from "../linux/fd";
import { type RlimitName, setLimit } from "../linux/rlimit";
import { writeAll } from "../linux/socket";
import type { Process } from "../oci/config";

/** A program that was found in the container. */
export interface Program {
  path: string;
  args: readonly string[];
  environment: string[];
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

/** Sets the limits, which would hold for our own stage too if they were set before, and becomes the program. */
export function becomeProgram(process: Process, program: Program, options: ExecutionOptions): never {
  const rlimits = process.rlimits ?? [];
  rlimits.forEach(({ type, soft, hard }, index) => {
    const limit = { soft: BigInt.asUintN(64, BigInt(soft)), hard: BigInt.asUintN(64, BigInt(hard)) };
    during(`config /process/rlimits/${index}`, () => setLimit(0, type as RlimitName, limit));
  });
  const own = rlimits.some(({ type }) => type === "RLIMIT_NOFILE");
  execProgram(program.path, program.args, program.environment, {
    preserveFds: options.preserveFds,
    openFiles: own ? undefined : options.openFiles,
  });
}
