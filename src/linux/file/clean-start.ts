import { read } from "bun:ffi";
import { SIG, SIGPROCMASK } from "../call/constants";
import { Fd } from "../call/fd";
import type { Step } from "../call/step";
import { syscallOn } from "../call/syscall";
import { CLEAN_START_HEADER, CLEAN_START_MAGIC, CLEAN_START_RECORD } from "./clean-start-layout";
import { readBytes } from "./file";

/** Of the auxiliary vector (getauxval(3)): where the program began. */
const AT_ENTRY = 9n;
const SIG_IGN = 1n;

/**
 * The address of the record in which the code before Bun's first instruction keeps what it took away; undefined in an executable
 * that build.ts did not change.
 */
function recordAddress(): number | undefined {
  const words = new BigUint64Array(readBytes("/proc/self/auxv").buffer);
  const at = words.findIndex((type, index) => index % 2 === 0 && type === AT_ENTRY);
  const entry = Number(words[at + 1] ?? 0n);
  const header = entry - CLEAN_START_HEADER.size;
  if (at < 0 || read.u64(header as never, CLEAN_START_HEADER.magic) !== CLEAN_START_MAGIC) return undefined;
  return entry + Number(read.i64(header as never, CLEAN_START_HEADER.record));
}

/**
 * Goes back to the caller's working directory, which has been deleted: Bun doesn't start in such a one. To be called first, for the
 * descriptor has the lowest free number, which may be a standard stream's.
 */
export function returnToWorkingDirectory(): void {
  if (process.cwd() !== "/") return;
  const record = recordAddress();
  if (record === undefined) return;
  const number = read.i32(record as never, CLEAN_START_RECORD.directory) - 1;
  if (number < 0) return;
  using directory = new Fd(number, "the working directory");
  syscallOn(directory.name, "fchdir", directory.number);
}

/** Gives a program the ignored and blocked signals that hako was started with. Not for programs in containers. */
export function callersSignalSteps(): Step[] {
  const record = recordAddress();
  if (record === undefined) return [];
  const ignored = read.u64(record as never, CLEAN_START_RECORD.ignored);
  const blocked = BigUint64Array.of(read.u64(record as never, CLEAN_START_RECORD.blocked));
  const ignoring = new BigUint64Array([SIG_IGN, 0n, 0n, 0n]); // struct sigaction
  const signals = Array.from({ length: SIG.RTMAX }, (_, index) => index + 1);
  return [
    ...signals
      .filter((signal) => (ignored & (1n << BigInt(signal - 1))) !== 0n)
      .map((signal): Step => {
        return { what: `rt_sigaction ${signal}`, call: "rt_sigaction", args: [signal, ignoring, 0, 8] };
      }),
    { what: "rt_sigprocmask", call: "rt_sigprocmask", args: [SIGPROCMASK.SIG_SETMASK, blocked, 0, 8] },
  ];
}
