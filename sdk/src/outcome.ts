import { constants } from "node:os";
import { refusal, SandboxError } from "./errors.js";
import type { Report } from "./generated.js";
import type { Outcome } from "./result.js";

/** hako has ended without a word over its channel; what it has written to standard error may say why. */
export class UntoldEnd extends SandboxError {
  readonly #status: number | null;

  constructor(status: number | null, endedAs: string) {
    super("system", `hako has told nothing of the program's end: it ${endedAs}`);
    this.#status = status;
  }

  /** The error for people: hako's own lines, if there are any. */
  with(text: string): SandboxError {
    const lines = text.split("\n").filter((line) => line.startsWith("hako: "));
    if (lines.length === 0) return this;
    // as shells have it: wrong usage
    const code = this.#status === 2 ? "usage" : this.code;
    return refusal(code, lines.map((line) => line.slice("hako: ".length)).join("; "));
  }
}

/** How hako's process has ended. */
export interface ProcessEnd {
  status: number | null;
  signal: NodeJS.Signals | null;
}

/** hako has ended by a signal of the library's before it had a report to tell of it: its program has not begun. */
export function endedEarly(signal: NodeJS.Signals): Outcome {
  const report: Report = { ...NOTHING_TOLD, exitCode: 128 + constants.signals[signal], signal };
  return outcomeOf(JSON.stringify(report), { status: null, signal });
}

/** What is known of a program that has not begun. */
const NOTHING_TOLD = {
  ...{ id: null, oomKilled: null, timedOut: false, started: null, wallMs: null, cpuUserMs: null },
  ...{ cpuSystemMs: null, memoryPeakBytes: null, pidsPeak: null, weaker: [], landlock: null, policy: null },
  ...{ unprotected: [], unheld: [], refused: null, hakoError: null },
} as const satisfies Partial<Report>;

/** The outcome that a report tells; throws where hako has failed, or tells nothing. */
export function outcomeOf(line: string, { status, signal }: ProcessEnd): Outcome {
  const report = parsed(line);
  if (report === undefined)
    throw new UntoldEnd(status, signal === null ? `ended with status ${status}` : `was ended by ${signal}`);
  const { hakoError } = report;
  if (hakoError !== null)
    throw new SandboxError(hakoError.code, hakoError.message, hakoError.hint ?? undefined);
  const { id, exitCode, timedOut, oomKilled } = report;
  const { wallMs, cpuUserMs, cpuSystemMs, memoryPeakBytes, pidsPeak } = report;
  const usage = { wallMs, cpuUserMs, cpuSystemMs, memoryPeakBytes, pidsPeak };
  const refused = report.refused ?? [];
  return { id, exitCode, signal: report.signal, timedOut, oomKilled, usage, refused, report };
}

function parsed(line: string): Report | undefined {
  try {
    return JSON.parse(line) as Report;
  } catch {
    return undefined;
  }
}
