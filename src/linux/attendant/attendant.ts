import { ownVector } from "../call/argument-memory";
import { bytesOf } from "../call/bytes";
import { O, SIG, SIGPROCMASK } from "../call/constants";
import type { Fd } from "../call/fd";
import { perform } from "../call/walk";
import { ownStrings } from "../file/caller-environment";
import { openAt } from "../file/path";
import { defaultActionStep } from "../process/execute";
import { executeStep, keepStep } from "../steps/child-steps";
import { type Filling, filledProgram, type Template } from "../steps/template";
import type { WayWord } from "./attendant-rows";
import { STATUS_DIGITS } from "./attendant-status";
import type { AttendedTerminal } from "./attendant-terminal";
import { signalSet } from "./signal-set";

/** Loaded on first use. */
const rare = {
  get attendantTerminal() {
    return require("./attendant-terminal") as typeof import("./attendant-terminal");
  },
};

/**
 * Has signals of this process wait until the program that takes its place asks for them; the set of them, and the mask as it was. Bun's
 * other threads may not block them: one that comes before then ends this process, unless a `SignalRecorder` takes it.
 */
function holdSignals(signals: readonly number[]): { held: bigint; before: bigint } {
  const held = signalSet(signals);
  const before = new BigUint64Array(1);
  perform([
    {
      what: "rt_sigprocmask",
      call: "rt_sigprocmask",
      args: [SIGPROCMASK.SIG_BLOCK, new BigUint64Array([held]), before, 8],
    },
    // a caller that ignores it would have the kernel reap our children
    defaultActionStep(SIG.CHLD),
  ]);
  return { held, before: before[0] ?? 0n };
}

/** What the file in memory is called. */
const ATTENDANT = "hako:attendant";

/** The part of an attendant that connects a terminal to our standard streams; loaded for those who have one. */
export function attendedTerminal(master: Fd | undefined): AttendedTerminal | undefined {
  if (master === undefined) return undefined;
  return new rare.attendantTerminal.AttendedTerminal(master);
}

/** What an attendant has from this process. */
export interface Handed<Word extends string> {
  /** Signals that are for the process that it attends. */
  signals: readonly number[];
  terminal: AttendedTerminal | undefined;
  /** Its descriptors beside the terminal's. */
  descriptors: readonly number[];
  /** What its words are filled with. */
  fillings: Readonly<Record<Exclude<Word, WayWord>, Filling>>;
}

/**
 * An attendant, a program of some KiB, takes the place of this process, with its pid, its name and its command line: it attends a
 * process and ends as that did. Where a row of it can't go on, this command is started again in its place, as it was, with one more
 * line in its environment, at whose end are the `STATUS_DIGITS` of what it came to. Comes back only by throwing.
 */
export function takePlace<Word extends string>(
  template: Template<Word | WayWord>,
  again: string,
  { signals, terminal, descriptors, fillings }: Handed<Word>,
): never {
  const { held, before } = holdSignals([...signals, SIG.CHLD, ...(terminal?.signals ?? [])]);
  using executable = openAt(undefined, "/proc/self/exe", O.PATH);
  const [args, environment] = [ownStrings("cmdline"), ownStrings("environ")];
  const line = bytesOf(`${again}${STATUS_DIGITS}\0`);
  using image = filledProgram<string>(ATTENDANT, template, {
    ...fillings,
    executable: executable.number,
    mask: before,
    signals: held,
    // on the stack: how many words, their addresses, 0, the addresses of the lines
    environmentAt: 8 * (args.starts.length + 2),
    lastLineAt: 8 * environment.starts.length,
    digitsAt: line.length - STATUS_DIGITS.length - 1,
  });
  perform([
    ...[executable.number, ...descriptors, ...(terminal?.descriptors ?? [])].map(keepStep),
    executeStep(
      image,
      ownVector(args.bytes, args.starts),
      ownVector(environment.bytes, environment.starts, line),
    ),
  ]);
  throw new Error("execveat came back");
}
