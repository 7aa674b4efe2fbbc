import { type ErrorCode, HakoError } from "../errors";
import type { ErrnoName } from "../linux/errno";

/** An error on its way to another process. */
export interface ErrorMessage {
  code: ErrorCode;
  message: string;
  hint?: string | undefined;
  errno?: string | undefined;
  syscall?: string | undefined;
  path?: string | undefined;
}

/** An error as plain data: its line with all causes, what to try apart. */
export function errorMessage(error: HakoError): ErrorMessage {
  const { explainRights } = require("../explain/rights") as typeof import("../explain/rights");
  const { code, oneLine: message, errno, syscall, path } = explainRights(error);
  return { code, message, errno, syscall, path };
}

export function errorFrom(message: ErrorMessage): HakoError {
  return new HakoError({ ...message, errno: message.errno as ErrnoName | undefined });
}
