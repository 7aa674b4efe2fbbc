import { attendantCode, attendantTable } from "./attendant-code";
import { executeStep, keepStep } from "./child-steps";
import type { Reports } from "./clone";
import { DATA_AT, elfProgram } from "./elf";
import { ownStrings } from "./environment";
import { defaultActionStep } from "./exec";
import type { Fd } from "./fd";
import { type LaunchPlan, start } from "./launch";
import { O, openAt } from "./path";
import { perform, type Step } from "./steps";

const SIGCHLD = 17;
const SIG_BLOCK = 0;
const SIG_SETMASK = 2;
const F_SETFL = 4;

/** Who takes the place of this process. */
export interface Attendance {
  /** Signals that the attended process gets in its stead. */
  signals: readonly number[];
  /** The line of the environment with which this command is started again when the process can't be made. */
  again: string;
}

/**
 * Signals of this process that wait until the program that takes its place asks for them. Bun's other threads may not block
 * them: a signal that comes before then ends this process, and so the other one, which is not let go.
 */
class HeldSignals {
  readonly set: bigint;
  /** The mask as it was. */
  readonly #before = new BigUint64Array(1);

  constructor(signals: readonly number[]) {
    this.set = signals.reduce((set, signal) => set | (1n << BigInt(signal - 1)), 0n);
    const blocked = new BigUint64Array([this.set]);
    perform([
      { what: "rt_sigprocmask", call: "rt_sigprocmask", args: [SIG_BLOCK, blocked, this.#before, 8] },
      // a caller that ignores it would have the kernel reap our children
      defaultActionStep(SIGCHLD),
    ]);
  }

  get before(): bigint {
    return this.#before[0] ?? 0n;
  }

  /** Gives a child the mask that this process had. */
  get releaseStep(): Step {
    return {
      what: "rt_sigprocmask",
      call: "rt_sigprocmask",
      args: [SIG_SETMASK, this.#before, 0, 8],
    };
  }
}

/**
 * Makes a process as `launch` does, and has a small program take the place of this one at once, while the process waits for a
 * byte from `go`: it lets it go, hands it signals and ends as it did. If the process can't be made, it is this command,
 * started again, that finds out why. Comes back only by throwing; when `go` is closed then, the process ends.
 */
export function launchAttended(
  plan: LaunchPlan,
  reports: Reports,
  go: Fd,
  { signals, again }: Attendance,
): never {
  const held = new HeldSignals([...signals, SIGCHLD]);
  using executable = openAt(undefined, "/proc/self/exe", O.PATH);
  const table = {
    report: reports.reader.number,
    executable: executable.number,
    mask: held.before,
    signals: held.set,
    go: go.number,
  };
  using image = elfProgram("hako:attendant", attendantCode(DATA_AT), attendantTable(table, "hako"));
  const leave: Step[] = [
    // what it finds there, it waits for
    { what: "fcntl", call: "fcntl", args: [reports.reader.number, F_SETFL, 0] },
    ...[reports.reader, executable, go].map(({ number }) => keepStep(number)),
    executeStep(image, ownStrings("cmdline"), [...ownStrings("environ"), again]),
  ];
  start({ ...plan, program: [held.releaseStep, ...plan.program] }, reports);
  perform(leave);
  throw new Error("execveat came back");
}
