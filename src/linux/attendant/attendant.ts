import { bytesOf } from "../call/bytes";
import type { Fd } from "../call/fd";
import { ownVector } from "../call/memory";
import { perform } from "../call/walk";
import { ownStrings } from "../file/caller-environment";
import { O, openAt } from "../file/path";
import { defaultActionStep } from "../process/execution";
import { executeStep, keepStep } from "../steps/child-steps";
import { RowProgram, word } from "../steps/row-program";
import { type Attended, attendRows, signalSet, stackOf } from "./attendant-rows";
import { STATUS_DIGITS } from "./attendant-status";

const SIGCHLD = 17;
const SIG_BLOCK = 0;

/**
 * Signals of this process that wait until the program that takes its place asks for them. Bun's other threads may not block
 * them: one that comes before then ends this process, unless a `SignalRecorder` takes it.
 */
export class HeldSignals {
  readonly signals: bigint;
  /** The mask as it was. */
  readonly #before = new BigUint64Array(1);

  constructor(signals: readonly number[]) {
    this.signals = signalSet(signals);
    const blocked = new BigUint64Array([this.signals]);
    perform([
      { what: "rt_sigprocmask", call: "rt_sigprocmask", args: [SIG_BLOCK, blocked, this.#before, 8] },
      // a caller that ignores it would have the kernel reap our children
      defaultActionStep(SIGCHLD),
    ]);
  }

  get mask(): bigint {
    return this.#before[0] ?? 0n;
  }
}

/** What a program that takes this one's place has to know of it. */
export type OwnWay = Record<"executable" | "environmentAt" | "lastLineAt" | "digitsAt", number>;

/**
 * A program of some KiB takes the place of this process, with its pid, its name and its command line: it attends a process and ends
 * as that did. Where a row of it can't go on, this command is started again in its place, as it was, with one more line in
 * its environment, at whose end are the `STATUS_DIGITS` of what it came to. Comes back only by throwing.
 */
export function takePlace(
  attended: Attended,
  held: HeldSignals,
  again: string,
  descriptors: readonly number[],
): never {
  const { mask, signals } = held;
  executeInPlace(again, descriptors, (way) => {
    const program = new RowProgram();
    attendRows(program, attended, { ...way, descriptors, mask: word(mask), signals: word(signals) });
    return program.executable(ATTENDANT);
  });
}

/** What the file in memory is called. */
export const ATTENDANT = "hako:attendant";

/** The same for an attendant that is made already, and has these descriptors. */
export function executeInPlace(
  again: string,
  descriptors: readonly number[],
  make: (way: OwnWay) => Fd,
): never {
  using executable = openAt(undefined, "/proc/self/exe", O.PATH);
  const [args, environment] = [ownStrings("cmdline"), ownStrings("environ")];
  const line = bytesOf(`${again}${STATUS_DIGITS}\0`);
  using image = make({
    executable: executable.number,
    ...stackOf(args.starts.length, environment.starts.length + 1),
    digitsAt: line.length - STATUS_DIGITS.length - 1,
  });
  perform([
    ...[executable.number, ...descriptors].map(keepStep),
    executeStep(
      image,
      ownVector(args.bytes, args.starts),
      ownVector(environment.bytes, environment.starts, line),
    ),
  ]);
  throw new Error("execveat came back");
}
