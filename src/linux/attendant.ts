import { ATTEND, type Attended, attendRows, signalSet } from "./attendant-rows";
import { STATUS_DIGITS } from "./attendant-status";
import { bytesOf } from "./bytes";
import { executeStep, keepStep } from "./child-steps";
import type { Reports } from "./clone";
import { ownStrings } from "./environment";
import { defaultActionStep } from "./exec";
import type { Fd } from "./fd";
import { type LaunchPlan, start } from "./launch";
import type { Memory } from "./memory";
import { O, openAt } from "./path";
import { ANY, RowProgram, word, wordIn } from "./row-program";
import { perform, type Step } from "./steps";

const SIGCHLD = 17;
const SIG_BLOCK = 0;
const SIG_SETMASK = 2;
const SIGKILL = 9;
const F_SETFL = 4;
const P_PID = 1;
/** WEXITED | WNOHANG | WNOWAIT */
const LOOK = 0x1000005;
const REPORT_SIZE = 16;

/**
 * Signals of this process that wait until the program that takes its place asks for them. Bun's other threads may not block
 * them: one that comes before then ends this process, unless a `SignalRecorder` takes it.
 */
export class HeldSignals {
  readonly set: bigint;
  /** The mask as it was. */
  readonly #before = new BigUint64Array(1);

  constructor(signals: readonly number[]) {
    this.set = signalSet(signals);
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
  using executable = openAt(undefined, "/proc/self/exe", O.PATH);
  const args = ownStrings("cmdline");
  const environment = [...ownStrings("environ"), bytesOf(`${again}${STATUS_DIGITS}\0`)];
  const program = new RowProgram();
  attendRows(program, attended, {
    executable: executable.number,
    descriptors,
    mask: held.before,
    signals: held.set,
    words: args.length,
    lines: environment.length,
    digitsAt: bytesOf(again).length,
  });
  using image = program.executable("hako:attendant");
  perform([...[executable.number, ...descriptors].map(keepStep), executeStep(image, args, environment)]);
  throw new Error("execveat came back");
}

/** Who takes the place of this process. */
export interface Attendance {
  /** Signals that the attended process gets in its stead. */
  signals: readonly number[];
  /** The line of the environment with which this command is started again when the process can't be made. */
  again: string;
}

/**
 * Makes a process as `launch` does, and has an attendant take the place of this one at once, while the process waits for a
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
  const { reader } = reports;
  // what is found there, is waited for
  perform([{ what: "fcntl", call: "fcntl", args: [reader.number, F_SETFL, 0] }]);
  start({ ...plan, program: [held.releaseStep, ...plan.program] }, reports);
  const attended: Attended = {
    child: (program, child) => launchedRows(program, child, reader.number, go.number),
    recorded: undefined,
    part: undefined,
    end: (program) => program.goto(ATTEND.exit),
  };
  takePlace(attended, held, again, [reader.number, go.number]);
}

/** Lets the process go, and reads from reports who it is, or that a step has failed. */
export function launchedRows(program: RowProgram, child: Memory, report: number, go: number): void {
  const [length, step] = [word(), new BigInt64Array(REPORT_SIZE / 8)];
  const pid = wordIn(step, 8);
  program.call("write", [go, "!", 1], ANY);
  program.call("close", [go], ANY);
  program.label("report");
  const whole = { least: REPORT_SIZE, otherwise: "reported" };
  program.call("read", [report, step, REPORT_SIZE], { ...whole, to: length });
  program.sum([wordIn(step)], { least: -1, most: -1, otherwise: "not made" });
  program.sum([pid], { least: 1, otherwise: "not made" });
  // whoever can get at the process could say this too
  program.call("waitid", [P_PID, pid, 0, LOOK, 0], { otherwise: "report" });
  program.sum([pid], { to: child, next: "report" });
  program.label("reported");
  program.sum([wordIn(length)], { least: 0, most: 0, otherwise: "not made" });
  program.sum([wordIn(child)], { least: 1, next: ATTEND.begin, otherwise: ATTEND.again });
  program.label("not made");
  program.when(wordIn(child), 0, ATTEND.again);
  program.call("kill", [wordIn(child), SIGKILL], ANY);
  program.call("wait4", [wordIn(child), 0, 0, 0], { ...ANY, next: ATTEND.again });
}
