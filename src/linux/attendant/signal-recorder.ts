import { concatenated } from "../call/bytes";
import type { Fd } from "../call/fd";
import { syscallOn } from "../call/syscall";
import { perform } from "../call/walk";
import { Pipe } from "../file/pipe";
import { defaultActionStep } from "../process/execute";
import { codeOf, codePage, loadNumber, type MachineCode } from "../steps/machine-code";

const NAME = "pipe for signals";
const SA_RESTORER = 0x04000000n;
const SA_RESTART = 0x10000000n;
/** Where the way back from the handler begins: behind a first instruction of one word, for a descriptor below 2^16. */
export const BACK_AT: Readonly<Record<string, number>> = { x64: 25, arm64: 36 };

/**
 * A signal handler, with the pipe's descriptor in a register, and how the kernel takes the thread back to what it did.
 *
 *     handler(signal): write(fd, &signal, 8)
 *     back: rt_sigreturn()
 */
export const RECORDER: MachineCode = {
  x64: `
    5789f748 89e6ba08 000000b8 01000000 0f055fc3 b80f0000 000f05`,
  arm64: `
    e00f1ff8 e00301aa e1030091 020180d2 080880d2 010000d4 ff430091 c0035fd6
    681180d2 010000d4`,
};

/** esi and x1. */
export const PIPE_REGISTER = { x64: [0xbe], arm64: 1 };

/**
 * Signals of this process, kept in a pipe for a program that will take its place: whichever of Bun's threads the kernel gives
 * one to, it is in there before the thread goes on. Handlers of Bun's are asked much later.
 */
export class SignalRecorder implements Disposable {
  readonly #pipe = new Pipe(NAME, true);

  constructor(private readonly signals: readonly number[]) {
    const page = codePage(
      concatenated([loadNumber(this.#pipe.write.number, PIPE_REGISTER), codeOf(RECORDER)]),
    );
    const action = new BigUint64Array([
      BigInt(page),
      SA_RESTORER | SA_RESTART,
      BigInt(page + (BACK_AT[process.arch] ?? 0)),
      0n,
    ]);
    for (const signal of signals) syscallOn(NAME, "rt_sigaction", signal, action, null, 8);
  }

  /** The numbers come out of it, a word each; it never waits. */
  get reader(): Fd {
    return this.#pipe.read;
  }

  /** Signals do again what they do by default. */
  [Symbol.dispose](): void {
    perform(this.signals.map(defaultActionStep));
    this.#pipe[Symbol.dispose]();
  }
}
