import type { Report } from "./generated.js";

/** What a program has used; null is what nobody has counted. */
export type Usage = Pick<Report, "wallMs" | "cpuUserMs" | "cpuSystemMs" | "memoryPeakBytes" | "pidsPeak">;

/** What rules of the network have refused, and how often. */
export type Refused = NonNullable<Report["refused"]>[number];

/** How a program has ended. */
export interface Outcome {
  /** The container's id; null where there is none (`weaker`). */
  id: string | null;
  /** The program's, or 128 + N where signal N ended it. null where nobody knows. */
  exitCode: number | null;
  /** As "SIGKILL"; null where it has ended by itself. */
  signal: string | null;
  /** The time limit was reached. */
  timedOut: boolean;
  /** The kernel has killed a process for lack of memory: the program, or one that it had started. null where nobody counts. */
  oomKilled: boolean | null;
  /** What the program, and all that it has started, has used. */
  usage: Usage;
  /** What the program has tried to reach in vain; empty where no rules of the network were given. */
  refused: Refused[];
  /** All that hako tells. */
  report: Report;
}

/** An outcome, with what the program has written: texts, or bytes where `encoding` says so. */
export interface Result<Output extends string | Uint8Array = string> extends Outcome {
  /** What the program has written to its standard output, up to `maxOutputBytes`. */
  stdout: Output;
  /** What it has written to its standard error, and hako's own warnings: lines that begin with `hako: warning: `. */
  stderr: Output;
  /** More was written than `maxOutputBytes`: it isn't here. */
  truncated: boolean;
}
