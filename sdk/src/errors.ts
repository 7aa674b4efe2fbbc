import type { Result } from "./result.js";

/**
 * The sandbox has failed, not the program: hako isn't there, an option is wrong, a right is missing, the program doesn't exist. `code` is what
 * kind of failure it was: "usage", "config", "unsupported", "not-found", "exists", "state", "command-not-found", "command-not-executable" or "system".
 */
export class SandboxError extends Error {
  override readonly name = "SandboxError";
  readonly code: string;
  /** What to try, if hako knows. */
  readonly hint: string | undefined;

  constructor(code: string, message: string, hint?: string, options?: ErrorOptions) {
    super(hint === undefined ? message : `${message} (${hint})`, options);
    this.code = code;
    this.hint = hint;
  }
}

/** The program has failed, in a sandbox that was as it should be; thrown where `check` was asked for. */
export class ProgramError extends Error {
  override readonly name = "ProgramError";
  readonly result: Result;

  constructor(program: string, result: Result) {
    super(`${program} ${ending(result)}`);
    this.result = result;
  }
}

function ending({ exitCode, signal, timedOut, oomKilled }: Result): string {
  if (timedOut) return "took too long";
  if (signal === null) return `ended with status ${exitCode}`;
  return `was ended by ${signal}${oomKilled === true ? ": out of memory" : ""}`;
}
