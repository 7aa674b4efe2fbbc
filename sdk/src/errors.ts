import { type Report, VERSION } from "./generated.js";
import type { Outcome, Result } from "./result.js";

/** What kind of failure it was, in the words of `hako run --report`. */
export type ErrorCode = NonNullable<Report["hakoError"]>["code"];

/** The sandbox has failed, not the program: hako isn't there, an option is wrong, a right is missing, the program doesn't exist. */
export class SandboxError extends Error {
  override readonly name = "SandboxError";
  /** What kind of failure it was. */
  readonly code: ErrorCode;
  /** What to try, if hako knows. */
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, hint?: string, options?: ErrorOptions) {
    super(hint === undefined ? message : `${message} (${hint})`, options);
    this.code = code;
    this.hint = hint;
  }
}

/** The program has failed, in a sandbox that was as it should be; thrown where `check` was asked for. */
export class ProgramError extends Error {
  override readonly name = "ProgramError";
  /** How the program has ended, and what it has written. */
  readonly result: Result | Result<Uint8Array>;

  constructor(program: string, result: Result | Result<Uint8Array>) {
    super(`${program} ${ending(result)}`);
    this.result = result;
  }
}

/** Says which of the library's errors one is, by whatever copy of the library it was made: a project may have several. */
const KIND = Symbol.for("@hako-runtime/sdk error");

/** Has `instanceof` ask for the kind, and of a class that extends this one for the class, as ever. */
function knowByKind(known: typeof SandboxError | typeof ProgramError, name: string): void {
  Object.defineProperty(known.prototype, KIND, { value: name });
  const isInstance = function (this: unknown, value: unknown): boolean {
    if (this !== known) return Function.prototype[Symbol.hasInstance].call(this, value);
    return typeof value === "object" && value !== null && Reflect.get(value, KIND) === name;
  };
  Object.defineProperty(known, Symbol.hasInstance, { value: isInstance });
}

knowByKind(SandboxError, "SandboxError");
knowByKind(ProgramError, "ProgramError");

/** What hako has refused without a report; a flag that it doesn't know is one of another version. */
export function refusal(code: ErrorCode, message: string): SandboxError {
  if (!message.includes("unknown flag")) return new SandboxError(code, message);
  return new SandboxError(code, message, `the library is for hako ${VERSION}`);
}

function ending({ exitCode, signal, timedOut, oomKilled }: Outcome): string {
  if (timedOut) return "took too long";
  if (signal === null) return `ended with status ${exitCode}`;
  return `was ended by ${signal}${oomKilled === true ? ": out of memory" : ""}`;
}
