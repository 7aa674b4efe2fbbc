import { bytesOf } from "./bytes";
import { trySyscallHere } from "./syscall";

/**
 * Ends this process with one line on standard error. For what no caller may catch and survive: a thread that can't leave a namespace
 * would do all that follows in the wrong place.
 */
export function endProcess(message: string): never {
  const line = bytesOf(`hako: ${message}\n`);
  trySyscallHere("write", 2, line, line.length);
  process.exit(1);
}
