import type { ErrnoName } from "./errno";
import { printable, shortLine } from "./printable";

/** What kind of failure it was; decides the exit status of the command line. */
export type ErrorCode =
  | "usage" // the command line is wrong
  | "config" // a field of config.json or of another document is wrong
  | "unsupported" // asked for something that hako or this host can't do
  | "not-found" // no such container, mapping …
  | "exists" // the id is taken
  | "state" // the container is in the wrong state
  | "command-not-found" // the program to run does not exist
  | "command-not-executable" // the program exists and can't be executed
  | "system"; // the kernel said no

/** The parts of an error: what, on what, why, what to try. */
export interface ErrorParts {
  code: ErrorCode;
  message: string;
  hint?: string | undefined;
  cause?: unknown;
  syscall?: string | undefined;
  errno?: ErrnoName | undefined;
  path?: string | undefined;
}

/** The one error class of hako. Its line is what people, podman and containerd read. */
export class HakoError extends Error {
  override readonly name = "HakoError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly syscall: string | undefined;
  readonly errno: ErrnoName | undefined;
  readonly path: string | undefined;

  constructor(parts: ErrorParts) {
    super(parts.message, parts.cause === undefined ? undefined : { cause: parts.cause });
    this.code = parts.code;
    this.hint = parts.hint;
    this.syscall = parts.syscall;
    this.errno = parts.errno;
    this.path = parts.path;
  }

  /** An error of the command line. */
  static usage(message: string, hint?: string): HakoError {
    return new HakoError({ code: "usage", message, hint });
  }

  /** The same failure with other parts: a copy by spreading would lose message and cause, which belong to `Error`. */
  with(parts: Partial<ErrorParts>): HakoError {
    const { code, message, hint, cause, syscall, errno, path } = this;
    return new HakoError({ code, message, hint, cause, syscall, errno, path, ...parts });
  }

  /** Message, causes and hint in one line, which may have words of an image's. (Not named "line": JavaScriptCore gives every error such a property.) */
  get oneLine(): string {
    const { advice } = this;
    return advice === undefined ? this.reason : `${this.reason} (${advice})`;
  }

  /** The line without what to try. */
  get reason(): string {
    return inOneLine(
      this.#causes()
        .map((each) => (each instanceof Error ? each.message : String(each)))
        .join(": "),
    );
  }

  /** What to try alone; undefined if nobody knows. */
  get advice(): string | undefined {
    const hints = this.#causes().flatMap((each) =>
      each instanceof HakoError && each.hint !== undefined ? [each.hint] : [],
    );
    return hints.length === 0 ? undefined : inOneLine(hints.join("; "));
  }

  /** This error, its cause, the cause of that, and so on; the last may be a thrown value that is no error. */
  #causes(): unknown[] {
    const found: unknown[] = [];
    for (let each: unknown = this; each !== undefined; each = each instanceof Error ? each.cause : undefined)
      found.push(each);
    return found;
  }
}

function inOneLine(text: string): string {
  return printable(shortLine(text.replaceAll(/\s*\n\s*/g, " ")));
}

/** Any thrown value as a HakoError; what was thrown by something else becomes its cause-less message. */
export function asHakoError(thrown: unknown): HakoError {
  if (thrown instanceof HakoError) return thrown;
  if (thrown instanceof Error) {
    const code = (thrown as Error & { code?: unknown }).code;
    const errno = typeof code === "string" && /^E[A-Z0-9]+$/.test(code) ? (code as ErrnoName) : undefined;
    return new HakoError({ code: "system", message: nodeMessage(thrown, errno), errno });
  }
  return new HakoError({ code: "system", message: String(thrown) });
}

/** node:fs says "ENOENT: no such file or directory, open '/x'"; we say "open /x: no such file or directory". */
function nodeMessage(error: Error, errno: string | undefined): string {
  const match = errno === undefined ? null : /^E[A-Z0-9]+: (.*), (\w+)(?: '(.*)')?$/s.exec(error.message);
  if (match === null) return error.message;
  const [, text, call, path] = match;
  return `${call}${path === undefined ? "" : ` ${path}`}: ${text}`;
}

/**
 * Runs `action`; its failure becomes the cause of an error whose message says what was being done. `more` may find other parts
 * out from the cause: that costs nothing when all goes well.
 */
export function during<T>(
  message: string,
  action: () => T,
  more: Partial<ErrorParts> | ((cause: HakoError) => Partial<ErrorParts>) = {},
): T {
  try {
    return action();
  } catch (thrown) {
    const cause = asHakoError(thrown);
    const known = typeof more === "function" ? more(cause) : more;
    throw new HakoError({ code: cause.code, errno: cause.errno, message, cause, ...known });
  }
}
