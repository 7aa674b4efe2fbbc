import { SandboxError } from "./errors.js";
import type { Report } from "./generated.js";
import type { Outcome } from "./result.js";

/** The outcome that a report tells; throws where hako has failed, or tells nothing. */
export function outcomeOf(line: string, endedAs: string): Outcome {
  const report = parsed(line);
  if (report === undefined)
    throw new SandboxError("system", `hako has told nothing of the program's end: it ${endedAs}`);
  const { hakoError } = report;
  if (hakoError !== null)
    throw new SandboxError(hakoError.code, hakoError.message, hakoError.hint ?? undefined);
  const { id, exitCode, signal, timedOut, oomKilled } = report;
  const { wallMs, cpuUserMs, cpuSystemMs, memoryPeakBytes, pidsPeak } = report;
  const usage = { wallMs, cpuUserMs, cpuSystemMs, memoryPeakBytes, pidsPeak };
  const refused = report.refused ?? [];
  return { id: id ?? "", exitCode, signal, timedOut, oomKilled, usage, refused, report };
}

function parsed(line: string): Report | undefined {
  try {
    return JSON.parse(line) as Report;
  } catch {
    return undefined;
  }
}
