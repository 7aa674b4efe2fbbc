import { toArrayBuffer } from "bun:ffi";
import { HakoError } from "../../base/errors";
import { MAP, PROT } from "../call/constants";
import type { Fd } from "../call/fd";
import { libc } from "../call/libc";
import { lastErrno, syscallOn, systemError, trySyscallHere } from "../call/syscall";
import { hasSealedSize, memoryFile, sealSize } from "../file/memfd";
import { filesystemOf } from "../file/stat";
import { FILESYSTEM_MAGIC } from "../file/statfs";
import { elfProgram } from "../steps/elf";
import { PREPARED } from "./failed-step";
import { RANGE, RANGE_SIZE, remoteCode } from "./remote-code";

const NAME = "calls of a container's process";
const FUTEX_WAIT = 0;
const FUTEX_WAKE = 1;
const MADV_REMOVE = 9;
/** How often a process that does not answer is looked at: it may have ended. */
const LOOK_NANOSECONDS = 50_000_000n;
/**
 * How many bytes of a range are mapped as an ArrayBuffer at first. The engine counts these as its own memory, and collects
 * garbage when that has grown much: 16 MiB cost a tenth of a run.
 */
const SHOWN = 0x40000;

/** Memory that a remote process shares with who drives it: the calls, their arguments, and what these point to. */
export class SharedRange implements Disposable {
  words = new Int32Array();
  longWords = new BigInt64Array();
  bytes = new Uint8Array();
  /** The number that the range's file has in the process, which inherited it. */
  readonly descriptor: number;
  readonly #address: number;

  constructor(readonly file: Fd) {
    this.descriptor = file.number;
    this.#address = Number(
      libc("mmap")(null, RANGE_SIZE, PROT.READ | PROT.WRITE, MAP.SHARED, file.number, 0),
    );
    if (this.#address <= 0) throw systemError("mmap", lastErrno(), file.name);
    this.#show(SHOWN);
  }

  /** Makes the views of its memory reach up to an offset. */
  reach(end: number): void {
    if (end > this.bytes.length) this.#show(RANGE_SIZE);
  }

  #show(size: number): void {
    const memory = toArrayBuffer(this.#address as never, 0, size);
    this.bytes = new Uint8Array(memory);
    this.words = new Int32Array(memory);
    this.longWords = new BigInt64Array(memory);
  }

  /** A new one, of zeros. */
  static make(): SharedRange {
    const file = memoryFile(NAME);
    try {
      syscallOn(NAME, "ftruncate", file.number, RANGE_SIZE);
      // who can get at the process can't take memory away that is looked at here
      sealSize(file);
      return new SharedRange(file);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /**
   * The process ends, a second later, when the other end of this socket has been closed. PR_SET_PDEATHSIG is no help before it
   * is set, nor where the parent has died already, nor for a moment after a change of identity.
   */
  set lifeline(socket: number) {
    this.words[RANGE.lifeline / 4] = socket;
  }

  /** A range that a process hands over. Where others can get at the process, what comes may be forged. */
  static of(file: Fd): SharedRange {
    if (filesystemOf(file) !== FILESYSTEM_MAGIC.tmpfs || !hasSealedSize(file, RANGE_SIZE))
      throw new HakoError({ code: "system", message: `${NAME}: the process hands something else over` });
    const range = new SharedRange(file);
    // all that was prepared; what is said to lie further on is forged
    range.reach(Math.min(range.words[PREPARED.memory / 4] ?? 0, RANGE_SIZE));
    return range;
  }

  /** A program that serves the calls of this range; the range's descriptor must stay open when it is executed. */
  program(): Fd {
    return elfProgram("hako:calls", remoteCode(this.file.number), new Uint8Array(0));
  }

  /** Wakes who waits for the word at an offset to change. */
  wake(offset: number): void {
    this.#futex(offset, FUTEX_WAKE, 1, null);
  }

  /** Waits until the word at an offset is another; comes back also without that, after a while. */
  wait(offset: number, value: number): void {
    this.#futex(offset, FUTEX_WAIT, value, this.#look);
  }

  /** Gives memory back from an offset on, at which a page begins; it reads as zeros from then on. */
  free(offset: number): void {
    const result = trySyscallHere("madvise", this.#address + offset, RANGE_SIZE - offset, MADV_REMOVE);
    if (result < 0) throw systemError("madvise", -result, NAME);
  }

  readonly #look = new BigInt64Array([0n, LOOK_NANOSECONDS]);

  #futex(offset: number, operation: number, value: number, timeout: BigInt64Array | null): void {
    trySyscallHere("futex", this.#address + offset, operation, value, timeout);
  }

  [Symbol.dispose](): void {
    this.file.close();
  }
}
