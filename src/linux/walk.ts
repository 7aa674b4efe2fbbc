import { toArrayBuffer } from "bun:ffi";
import { walkTable } from "./clone-code";
import { Fd } from "./fd";
import { libc } from "./libc";
import { type Step, tableOf } from "./steps";
import { lastErrno, syscall, syscallOn, systemError } from "./syscall";

const MFD_CLOEXEC = 1;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;

/**
 * Makes the steps' system calls in this thread, one right after the other; comes back only with an error, for the last one
 * is an execve. `witness` gets a file that holds the table, in which `hasFailedStep` sees the error even when this process has
 * been killed before it could say a word.
 */
export function walk(
  steps: readonly Step[],
  witness?: (table: Fd) => void,
): readonly [step: number, result: number] {
  const { words: own, held } = tableOf(-1, steps);
  const words = witness === undefined ? own : sharedCopy(own, witness);
  walkTable(words);
  // named here so that no optimiser ends the memory's life before the calls
  return held === undefined ? [0, 0] : [Number(words[1]), Number(words[2])];
}

function sharedCopy(words: BigInt64Array, witness: (table: Fd) => void): BigInt64Array {
  const size = words.byteLength;
  using file = new Fd(syscall("memfd_create", "hako:table", MFD_CLOEXEC), "table of steps");
  syscallOn(file.name, "ftruncate", file.number, size);
  const address = Number(libc("mmap")(null, size, PROT_READ_WRITE, MAP_SHARED, file.number, 0));
  if (address <= 0) throw systemError("mmap", lastErrno(), file.name);
  witness(file);
  const copy = new BigInt64Array(toArrayBuffer(address as never, 0, size));
  copy.set(words);
  return copy;
}
