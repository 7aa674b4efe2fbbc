import type { Memory } from "../call/argument-memory";
import { AT, F, FD, O, POLL, PR, SIG, SIGPROCMASK, W } from "../call/constants";
import {
  ANY,
  FAILED,
  type NamedWords,
  type Operand,
  type RowProgram,
  within,
  word,
  wordIn,
} from "../steps/row-program";
import { CAME_TO, DIGIT_BITS, FIRST_DIGIT, SIGNALLED, STATUS_DIGITS } from "./attendant-status";

const NAME = "hako";
const P_ALL = 0;
const CLD_EXITED = 1;
/** In siginfo_t of waitid(2): si_code, si_pid, si_status. */
const [INFO_CODE_AT, INFO_PID_AT, INFO_STATUS_AT] = [8, 16, 24];
const SIGINFO_SIZE = 128;
const LOW_HALF = 0xffffffff;
/** Of a pollfd no descriptor at all. */
export const NO_POLL = LOW_HALF;
/** How many an attendant waits for: signals, and of a terminal our input, its master twice in one, our output. */
const MOST_POLLED = 4;

/** Labels of rows that parts of an attendant go to. */
export const ATTEND = {
  /** There is a process to attend: its pid is in a word. */
  begin: "begin",
  /** Takes what is there, then waits for more. */
  wait: "wait",
  /** Looks for more signals. */
  signals: "signals",
  /** The process has ended, and all of its output was passed on. */
  finish: "finish",
  /** Ends with the status. */
  exit: "exit",
  /** Gives way to the command. */
  again: "again",
} as const;

/** Words that parts of an attendant share. */
export class AttendantWords {
  /** The process's pid. */
  readonly child = word();
  /** What the attendant ends with, or tells the command. */
  readonly status = word(CAME_TO.broken);
  /** The signal that ended the process, or 0. */
  readonly signal = word();
  /** Descriptors, what of them is waited for, and what is there (struct pollfd): signals come first. */
  readonly polled = new BigUint64Array(MOST_POLLED).fill(BigInt(NO_POLL));
  /** How many of them. */
  readonly count = word(1);
  /** The address of how long to wait, which the kernel counts down; 0: for ever. */
  readonly timeout = word();
  readonly time = new BigInt64Array(2);
  /** Rows: where to go when the time is over, before each wait, and with the process's end. */
  readonly late = word();
  readonly phase = word();
  readonly ended = word();
}

/** A part of an attendant that knows of more than signals: of a terminal. */
export interface AttendantPart {
  /** Signals that it wants to hear of. */
  signals: readonly number[];
  /** Before the first wait; goes on with the row that follows. */
  start(program: RowProgram, words: AttendantWords): void;
  /** A signal for this part; goes on at `ATTEND.signals`. */
  signal(program: RowProgram, words: AttendantWords, signal: Memory): void;
  /** When others of the polled descriptors are ready; goes on at `ATTEND.wait`. */
  ready(program: RowProgram, words: AttendantWords): void;
  /** Gives back what it took; goes on with the row that follows. */
  restore(program: RowProgram): void;
}

export interface Attended {
  /** Puts the process's pid into a word, and goes on at `ATTEND.begin`. */
  child(program: RowProgram, child: Memory): void;
  /** Descriptor with signals that came before, as a `SignalRecorder` keeps them. */
  recorded: Operand | undefined;
  part: AttendantPart | undefined;
  /**
   * What is left to do after the end of the process, which is reaped at `ATTEND.exit`; goes on there or, where it can't, at
   * `ATTEND.again`.
   */
  end(program: RowProgram, words: AttendantWords): void;
}

/** Words that an attendant is told by the command whose place it takes, and gives way to again. */
export const WAY = [
  // the descriptor of its executable
  "executable",
  // its signal mask, and the signals that were held
  "mask",
  "signals",
  // where on the stack the addresses of its environment are, and how far behind the first one the last is
  "environmentAt",
  "lastLineAt",
  // where in the last line the digits are that say what the attendant came to
  "digitsAt",
] as const;
export type WayWord = (typeof WAY)[number];

/**
 * The rows of a program that attends a process, a child of its own: it passes signals on, reaps what else is its child, does what its
 * part does, and when the process has ended what is left to do. When it gives way to the command, that doesn't get the `descriptors`.
 */
export function attendRows(
  program: RowProgram,
  attended: Attended,
  way: NamedWords<WayWord>,
  descriptors: readonly Operand[],
): void {
  const words = new AttendantWords();
  const signals = word(-1);
  program.call("prctl", [PR.SET_NAME, NAME, 0, 0, 0], ANY);
  program.call("signalfd4", [-1, way.signals, 8, O.CLOEXEC | O.NONBLOCK], { to: signals });
  attended.child(program, words.child);
  program.label(ATTEND.begin);
  program.sum([wordIn(signals), POLL.IN * 2 ** 32], { to: words.polled });
  program.set(words.phase, { row: "poll" });
  program.set(words.ended, { row: ATTEND.finish });
  attended.part?.start(program, words);
  if (attended.recorded !== undefined) recordedRows(program, words, attended.recorded);
  reapRows(program, words);
  pollRows(program, words, attended.part);
  signalRows(program, words, signals, attended.part);
  endRows(program, words, attended);
  againRows(program, words, attended.part, signals, way, descriptors);
}

/** Passes on what came before. */
function recordedRows(program: RowProgram, { child }: AttendantWords, recorded: Operand): void {
  const number = word();
  program.label("recorded");
  program.call("read", [recorded, number, 8], { least: 8, otherwise: "reap" });
  program.call("kill", [wordIn(child), wordIn(number)], { ...ANY, next: "recorded" });
}

/** Children that have ended; the attended one stays to be looked at. */
function reapRows(program: RowProgram, { child, status, signal, ended, phase }: AttendantWords): void {
  const info = new Uint8Array(SIGINFO_SIZE);
  const [who, how] = [word(), word()];
  program.label("reap");
  program.set(within(info, INFO_PID_AT), 0);
  program.call("waitid", [P_ALL, 0, info, W.EXITED | W.NOHANG | W.NOWAIT, 0], { otherwise: "gone" });
  program.mask(wordIn(info, INFO_PID_AT), LOW_HALF, { to: who });
  program.when(wordIn(who), 0, wordIn(phase));
  program.when(wordIn(who), wordIn(child), "child ended");
  program.call("wait4", [wordIn(who), 0, 0, 0], { ...ANY, next: "reap" });
  program.label("child ended");
  program.mask(wordIn(info, INFO_STATUS_AT), LOW_HALF, { to: status });
  program.mask(wordIn(info, INFO_CODE_AT), LOW_HALF, { to: how });
  program.when(wordIn(how), CLD_EXITED, wordIn(ended));
  program.set(signal, wordIn(status));
  program.sum([wordIn(status), SIGNALLED], { to: status, next: wordIn(ended) });
  // somebody else has reaped it
  program.label("gone");
  program.set(status, 1, wordIn(ended));
}

function pollRows(program: RowProgram, words: AttendantWords, part: AttendantPart | undefined): void {
  const { polled, count, timeout, late, phase } = words;
  program.label(ATTEND.wait);
  program.goto(wordIn(phase));
  program.label("poll");
  const ready = word();
  program.call("ppoll", [polled, wordIn(count), wordIn(timeout), 0, 8], { to: ready, otherwise: "poll" });
  program.when(wordIn(ready), 0, wordIn(late));
  program.mask(wordIn(polled), POLL.IN * 2 ** 48, { most: 0, otherwise: ATTEND.signals });
  part?.ready(program, words);
}

function signalRows(
  program: RowProgram,
  words: AttendantWords,
  signals: Memory,
  part: AttendantPart | undefined,
): void {
  const [info, signal] = [new Uint8Array(SIGINFO_SIZE), word()];
  program.label(ATTEND.signals);
  program.call("read", [wordIn(signals), info, SIGINFO_SIZE], { least: SIGINFO_SIZE, otherwise: "reap" });
  program.mask(wordIn(info), LOW_HALF, { to: signal });
  program.when(wordIn(signal), SIG.CHLD, ATTEND.signals);
  part?.signal(program, words, signal);
  program.call("kill", [wordIn(words.child), wordIn(signal)], { ...ANY, next: ATTEND.signals });
}

function endRows(program: RowProgram, words: AttendantWords, { part, end }: Attended): void {
  program.label(ATTEND.finish);
  part?.restore(program);
  end(program, words);
  program.label(ATTEND.exit);
  program.call("wait4", [wordIn(words.child), 0, 0, 0], ANY);
  program.call("exit_group", [wordIn(words.status)]);
}

/** The command takes the place back. */
function againRows(
  program: RowProgram,
  { status }: AttendantWords,
  part: AttendantPart | undefined,
  signals: Memory,
  way: NamedWords<WayWord>,
  descriptors: readonly Operand[],
): void {
  const executable = wordIn(way.executable);
  program.label(FAILED);
  part?.restore(program);
  program.label(ATTEND.again);
  // signals that came since the end are nobody's; unblocked they would end the command
  const info = new Uint8Array(SIGINFO_SIZE);
  program.label("drain");
  program.call("read", [wordIn(signals), info, SIGINFO_SIZE], { next: "drain", otherwise: undefined });
  for (const fd of [wordIn(signals), executable, ...descriptors])
    program.call("fcntl", [fd, F.SETFD, FD.CLOEXEC], ANY);
  program.call("rt_sigprocmask", [SIGPROCMASK.SIG_SETMASK, way.mask, 0, 8], ANY);
  // on the stack: how many words, their addresses, 0, the addresses of the lines, 0
  const { stack } = program;
  const [commandLine, environment, line, digit, place] = [word(), word(), word(), word(), word()];
  program.sum([wordIn(stack), 8], { to: commandLine });
  program.sum([wordIn(stack), wordIn(way.environmentAt)], { to: environment });
  program.sum([wordIn(environment), wordIn(way.lastLineAt)], { to: line });
  program.load(wordIn(line), { to: line });
  // each clears what follows it: the last one, behind the line, what nobody reads
  [...STATUS_DIGITS].forEach((_, index) => {
    program.rotate(wordIn(status), DIGIT_BITS * (STATUS_DIGITS.length - 1 - index), { to: digit });
    program.mask(wordIn(digit), 0xf, { to: digit });
    program.sum([wordIn(line), wordIn(way.digitsAt), -index], { to: place });
    program.sum([wordIn(digit), FIRST_DIGIT], { to: wordIn(place) });
  });
  program.call("execveat", [executable, "", wordIn(commandLine), wordIn(environment), AT.EMPTY_PATH], {
    otherwise: "lost",
  });
  program.label("lost");
  program.call("exit_group", [1]);
}
