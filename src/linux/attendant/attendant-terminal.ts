import { type ErrnoName, errnoNumber } from "../../base/errno";
import type { Memory } from "../call/argument-memory";
import { F, LFLAG, MSG, O, POLL, SIG, SIGPROCMASK, TTY } from "../call/constants";
import type { Fd } from "../call/fd";
import { syscall } from "../call/syscall";
import { ANY, FAILED, type RowProgram, type RowTarget, within, word, wordIn } from "../steps/row-program";
import { getTermios, isTerminal, rawTermios, type Termios } from "../terminal/pty";
import { type AttendedOutput, openOutput } from "./attendant-output";
import { ATTEND, type AttendantPart, type AttendantWords, NO_POLL } from "./attendant-rows";
import { CAME_TO, SIGNALLED } from "./attendant-status";
import { signalSet } from "./signal-set";

/** In the kernel's struct termios: c_lflag, and VEOF of c_cc. */
const [LOCAL_FLAGS_AT, VEOF_AT, TERMIOS_SIZE] = [12, 21, 36];
const CHUNK = 4096;
const MILLISECOND = 1_000_000;
/** What a program wrote before its end may come a moment after it. */
const LAST_OUTPUT = 20 * MILLISECOND;
/** How long a program that reads on waits for the next end of its input: at first, and at most. */
const [END_AGAIN, END_AGAIN_AT_MOST] = [10 * MILLISECOND, 100 * MILLISECOND];
const INPUT_AGAIN = 100 * MILLISECOND;
/** For a program whose terminal was hung up to end by itself, in seconds. */
const HANGUP = 2;
/** Those that end a process by default (signal(7)), and that a program in a terminal need not be told of. */
const FATAL = [
  ...[SIG.ABRT, SIG.STKFLT, SIG.XCPU, SIG.VTALRM, SIG.PROF, SIG.IO, SIG.PWR],
  ...Array.from({ length: SIG.RTMAX - SIG.RTMIN + 1 }, (_, index) => SIG.RTMIN + index),
];
const BYTE = 0xff;
const EVENTS = 2 ** 32;
const READY = 2 ** 48;
const ANYTHING = (POLL.IN | POLL.OUT | POLL.ERR | POLL.HUP | POLL.NVAL) * READY;
const END_INPUT = { row: "end input" };
/** struct timespec. */
const NO_TIME = new BigInt64Array(2);
/** As of a program that SIGPIPE has ended. */
const UNREAD = SIGNALLED + SIG.PIPE;
/** Descriptors. */
const [INPUT, OUTPUT] = [0, 1];

/**
 * Connects a terminal's master to standard input and output, as `relay` (relay.ts) does for a command that stays: raw mode,
 * window size, both directions at once whichever of them has to wait, the end of input, a reader that goes away.
 */
export class AttendedTerminal implements AttendantPart {
  readonly signals = [SIG.WINCH, ...FATAL];
  readonly #master: number;
  readonly #output: AttendedOutput;
  readonly #before: Termios | undefined;
  /** Whether our input's terminal is not as it was. */
  readonly #changed = word(0);
  readonly #input = new Transfer();
  readonly #shown = new Transfer();
  /** What is waited for at the master: its output if there is room for it, and that it takes input if there is some. */
  readonly #reads = word(POLL.IN * EVENTS);
  readonly #writes = word(0);
  /** Rows: where to go on when nobody has the terminal open any more, and when nobody reads our output. */
  readonly #closed = word();
  readonly #unread = word();
  readonly #result = word();
  /** The signal that ends this process if it is one of `FATAL`. */
  readonly #fatal = word();
  /** Our process group. */
  readonly #job = syscall("getpgid", 0);

  constructor(master: Fd) {
    this.#master = master.number;
    this.#before = isTerminal(INPUT) ? getTermios(INPUT) : undefined;
    this.#output = openOutput();
  }

  /** What it can't be kept from closing at the next execve. */
  get descriptors(): number[] {
    return this.#output.fd === OUTPUT ? [this.#master] : [this.#master, this.#output.fd];
  }

  start(program: RowProgram, words: AttendantWords): void {
    words.count[0] = 4n;
    words.polled[1] = BigInt(INPUT + POLL.IN * EVENTS);
    program.call("fcntl", [this.#master, F.SETFL, O.RDWR | O.NONBLOCK]);
    this.#makeRaw(program);
    program.set(words.phase, { row: "relaying" });
    program.set(words.ended, { row: "last output" });
    program.set(this.#closed, { row: "closed" });
    program.set(this.#unread, { row: "hang up" });
    const sized = program.freshLabel();
    this.#resize(program, sized);
    program.label(sized);
  }

  signal(program: RowProgram, _: AttendantWords, signal: Memory): void {
    const bits = word();
    program.when(wordIn(signal), SIG.WINCH, "resize");
    if (this.#before !== undefined) program.when(wordIn(signal), SIG.CONT, "continued");
    program.set(this.#fatal, wordIn(signal));
    program.sum([wordIn(signal), -1], { to: bits });
    program.rotate(signalSet(FATAL), wordIn(bits), { to: bits });
    program.mask(wordIn(bits), 1, { to: bits, most: 0, otherwise: "fatal" });
  }

  restore(program: RowProgram): void {
    if (this.#before === undefined) return;
    const restored = program.freshLabel();
    program.when(wordIn(this.#changed), 0, restored);
    this.#whenInForeground(program, restored);
    program.call("ioctl", [INPUT, TTY.TCSETS, this.#before], ANY);
    program.set(this.#changed, 0);
    program.label(restored);
  }

  /** Our input's terminal only passes bytes on, unless it is another job's now. */
  #makeRaw(program: RowProgram): void {
    if (this.#before === undefined) return;
    const made = program.freshLabel();
    this.#whenInForeground(program, made);
    program.set(this.#changed, 1);
    // what our output is piped to may write to this terminal, and ends its lines as programs do
    program.call("ioctl", [INPUT, TTY.TCSETS, rawTermios(this.#before, isTerminal(OUTPUT))], ANY);
    program.label(made);
  }

  /**
   * Goes to `otherwise` if another job is in the foreground of standard input's terminal: the signals that would stop a
   * background job which changes it are blocked here.
   */
  #whenInForeground(program: RowProgram, otherwise: string): void {
    const [job, foreground] = [word(), program.freshLabel()];
    // one that controls nobody here may be changed by all
    program.call("ioctl", [INPUT, TTY.TIOCGPGRP, job], { otherwise: foreground });
    program.when(wordIn(job), this.#job, foreground);
    program.goto(otherwise);
    program.label(foreground);
  }

  ready(program: RowProgram, words: AttendantWords): void {
    this.#inputRows(program, words);
    this.#masterRows(program, words);
    this.#outputRows(program, words);
    this.#phaseRows(program, words);
    this.#endOfInputRows(program, words);
    this.#signalRows(program, words);
  }

  /** From our input to the master. */
  #inputRows(program: RowProgram, words: AttendantWords): void {
    const { bytes, at, left } = this.#input;
    const input = within(words.polled, 8);
    const read = this.#result;
    program.mask(wordIn(words.polled, 8), ANYTHING, { most: 0, next: "to master" });
    program.call("read", [INPUT, bytes, CHUNK], { to: read, least: 1, otherwise: "no input" });
    program.set(at, within(bytes, 0));
    program.set(left, wordIn(read));
    // a shell need not tell a job that it is in the foreground now
    program.when(wordIn(this.#changed), 1, "input read");
    this.#makeRaw(program);
    program.label("input read");
    program.set(this.#writes, POLL.OUT * EVENTS);
    program.set(input, NO_POLL);
    this.#writeRows(program, "write input", this.#input, {
      fd: this.#master,
      failed: "input not taken",
      left: "from master",
    });
    program.set(this.#writes, 0);
    program.set(input, INPUT + POLL.IN * EVENTS, "from master");
    program.label("input not taken");
    this.#whenFailed(program, ["EAGAIN"], "from master");
    // nobody can read it
    program.set(this.#writes, 0, "from master");
    program.label("no input");
    this.#whenFailed(program, ["EAGAIN", "EINTR"], "to master");
    program.set(input, NO_POLL);
    program.when(wordIn(read), 0, "end of input");
    this.#whenFailed(program, ["EBADF"], "end of input");
    this.#whenFailed(program, ["EIO"], "hung up or behind");
    program.sum([CAME_TO.unread, 0, wordIn(read)], { to: words.status, next: FAILED });
    // a job in the background may not read; a terminal that was hung up has no more to read
    program.label("hung up or behind");
    program.mask(wordIn(words.polled, 8), POLL.HUP * READY, { most: 0, otherwise: "end of input" });
    this.#wait(program, words, 0, INPUT_AGAIN, "input again");
    program.goto("to master");
    program.label("input again");
    program.set(words.timeout, 0);
    program.set(input, INPUT + POLL.IN * EVENTS, ATTEND.wait);
  }

  /** From the master to our output, and what is still left for it. */
  #masterRows(program: RowProgram, words: AttendantWords): void {
    const { bytes, at, left } = this.#shown;
    const output = within(words.polled, 24);
    const events = wordIn(words.polled, 16);
    program.label("to master");
    program.mask(events, POLL.OUT * READY, { most: 0, otherwise: "write input" });
    program.label("from master");
    program.when(wordIn(this.#reads), 0, "to output");
    program.mask(events, (POLL.IN | POLL.HUP | POLL.ERR) * READY, { most: 0, next: "to output" });
    const read = this.#result;
    program.call("read", [this.#master, bytes, CHUNK], { to: read, least: 1, otherwise: "no output" });
    program.set(at, within(bytes, 0));
    program.set(left, wordIn(read));
    program.set(this.#reads, 0);
    if (this.#output.immediate) program.goto("write output");
    else program.set(output, this.#output.fd + POLL.OUT * EVENTS, ATTEND.wait);
    program.label("no output");
    this.#whenFailed(program, ["EAGAIN", "EINTR"], "to output");
    program.goto(wordIn(this.#closed));
  }

  #outputRows(program: RowProgram, words: AttendantWords): void {
    const output = within(words.polled, 24);
    program.label("to output");
    program.mask(wordIn(words.polled, 24), ANYTHING, { most: 0, next: ATTEND.wait });
    const { fd, immediate, socket } = this.#output;
    this.#writeRows(program, "write output", this.#shown, {
      fd,
      socket,
      failed: "output not taken",
      left: immediate ? "write output" : ATTEND.wait,
    });
    program.set(this.#reads, POLL.IN * EVENTS);
    program.set(output, NO_POLL, ATTEND.wait);
    program.label("output not taken");
    program.set(output, fd + POLL.OUT * EVENTS);
    this.#whenFailed(program, ["EAGAIN"], ATTEND.wait);
    this.#whenFailed(program, ["EPIPE", "EIO", "EBADF"], wordIn(this.#unread));
    program.sum([CAME_TO.unwritten, 0, wordIn(this.#result)], { to: words.status, next: FAILED });
  }

  /** Writes what is left of a transfer; goes on with the row that follows when nothing is left. */
  #writeRows(
    program: RowProgram,
    label: string,
    { at, left }: Transfer,
    to: { fd: number; socket?: boolean; failed: string; left: string },
  ): void {
    const written = this.#result;
    const failed = program.freshLabel();
    program.label(label);
    const what = [to.fd, wordIn(at), wordIn(left)];
    const failing = { to: written, least: 1, otherwise: failed };
    if (to.socket === true) program.call("sendto", [...what, MSG.DONTWAIT | MSG.NOSIGNAL, 0, 0], failing);
    else program.call("write", what, failing);
    program.sum([wordIn(at), wordIn(written)], { to: at });
    const done = program.freshLabel();
    program.sum([wordIn(left), 0, wordIn(written)], { to: left, most: 0, next: done, otherwise: to.left });
    program.label(failed);
    this.#whenFailed(program, ["EINTR"], label);
    program.goto(to.failed);
    program.label(done);
  }

  /** What comes before each wait, and when the terminal or its process has come to an end. */
  #phaseRows(program: RowProgram, words: AttendantWords): void {
    const { polled, count, timeout, time, ended, phase, late, status } = words;
    const master = within(polled, 16);
    program.label("last output");
    program.set(polled, NO_POLL);
    program.set(within(polled, 8), NO_POLL);
    program.set(this.#writes, 0);
    program.set(this.#closed, { row: ATTEND.finish });
    program.set(this.#unread, { row: "finish unread" });
    program.set(phase, { row: "ending" });
    program.label("ending");
    this.#wait(program, words, 0, LAST_OUTPUT, ATTEND.finish);
    program.sum([wordIn(this.#reads)], { least: 1, next: "relay", otherwise: undefined });
    program.set(timeout, 0, "relay");
    program.label("relaying");
    // also of a program that writes all the time
    program.sum([wordIn(late)], { least: END_INPUT, most: END_INPUT, otherwise: "relay" });
    program.sum([wordIn(time), wordIn(time, 8)], { most: 0, next: "end input", otherwise: "relay" });
    program.label("relay");
    // without anything to wait for its end would be told again and again
    program.sum([wordIn(this.#reads), wordIn(this.#writes)], {
      to: master,
      least: 1,
      otherwise: "no master",
    });
    program.sum([wordIn(polled, 16), this.#master], { to: master, next: "poll" });
    program.label("no master");
    program.set(master, NO_POLL, "poll");
    program.label("closed");
    this.restore(program);
    program.set(timeout, 0);
    program.set(ended, { row: ATTEND.finish });
    program.label("only signals");
    program.set(count, 1);
    program.set(within(polled, 8), NO_POLL);
    program.set(master, NO_POLL);
    program.set(within(polled, 24), NO_POLL);
    program.set(phase, { row: "poll" }, "poll");
    program.label("hang up");
    this.restore(program);
    program.call("close", [this.#master], ANY);
    this.#wait(program, words, HANGUP, 0, "finish unread");
    program.set(ended, { row: "finish unread" }, "only signals");
    program.label("finish unread");
    program.set(status, UNREAD, ATTEND.finish);
  }

  /** Ends the terminal's input, also that of programs which come to read it later: each read(2) takes one end. */
  #endOfInputRows(program: RowProgram, words: AttendantWords): void {
    const termios = new Uint8Array(TERMIOS_SIZE + 8);
    const pause = word(END_AGAIN);
    const [slave, polled] = [word(), word()];
    program.label("end of input");
    this.#wait(program, words, 0, 0, "end input");
    program.set(within(words.polled, 8), NO_POLL, "to master");
    program.label("end input");
    program.call("ioctl", [this.#master, TTY.TCGETS, termios], { otherwise: "ended input" });
    // a program that reads each byte is told nothing
    program.mask(wordIn(termios, LOCAL_FLAGS_AT), LFLAG.ICANON, { least: 1, otherwise: "end input later" });
    program.mask(wordIn(termios, VEOF_AT), BYTE, { least: 1, otherwise: "end input later" });
    const flags = O.RDWR | O.NOCTTY | O.CLOEXEC;
    program.call("ioctl", [this.#master, TTY.TIOCGPTPEER, flags], { to: slave, otherwise: "write end" });
    program.sum([wordIn(slave), POLL.IN * EVENTS], { to: polled });
    program.call("ppoll", [polled, 1, NO_TIME, 0, 8], { ...ANY, to: polled });
    program.call("close", [wordIn(slave)], ANY);
    program.when(wordIn(polled), 1, "end input later");
    program.label("write end");
    program.call("write", [this.#master, within(termios, VEOF_AT), 1], ANY);
    program.label("end input later");
    program.set(words.time, 0);
    program.set(within(words.time, 8), wordIn(pause));
    const most = { to: pause, least: 0, most: END_AGAIN_AT_MOST, next: ATTEND.wait };
    program.sum([wordIn(pause), wordIn(pause)], { ...most, otherwise: undefined });
    program.set(pause, END_AGAIN_AT_MOST, ATTEND.wait);
    program.label("ended input");
    program.set(words.late, 0);
    program.set(words.timeout, 0, ATTEND.wait);
  }

  #signalRows(program: RowProgram, { child }: AttendantWords): void {
    program.label("continued");
    this.#makeRaw(program);
    program.call("kill", [wordIn(child), SIG.CONT], { ...ANY, next: ATTEND.signals });
    program.label("resize");
    this.#resize(program, ATTEND.signals);
    program.label("fatal");
    this.restore(program);
    program.call("rt_sigprocmask", [SIGPROCMASK.SIG_SETMASK, word(0), 0, 8], ANY);
    program.call("kill", [process.pid, wordIn(this.#fatal)], ANY);
    program.goto(ATTEND.wait);
  }

  /** Gives the terminal the size of ours, if we have one. */
  #resize(program: RowProgram, next: string): void {
    const size = word();
    program.call("ioctl", [INPUT, TTY.TIOCGWINSZ, size], { otherwise: next });
    program.mask(wordIn(size), 0xffff, { least: 1, otherwise: next });
    program.mask(wordIn(size), 0xffff0000, { least: 1, otherwise: next });
    program.call("ioctl", [this.#master, TTY.TIOCSWINSZ, size], { ...ANY, next });
  }

  #whenFailed(program: RowProgram, names: readonly ErrnoName[], next: RowTarget): void {
    for (const name of names) program.when(wordIn(this.#result), -errnoNumber(name), next);
  }

  /** From now on a wait takes that long at most, and then goes on at a label. */
  #wait(
    program: RowProgram,
    { time, timeout, late }: AttendantWords,
    seconds: number,
    nanoseconds: number,
    then: string,
  ): void {
    program.set(time, seconds);
    program.set(within(time, 8), nanoseconds);
    program.set(timeout, within(time, 0));
    program.set(late, { row: then });
  }
}

/** Bytes on their way. */
class Transfer {
  readonly bytes = new Uint8Array(CHUNK);
  /** Where those are that are left, and how many. */
  readonly at = word();
  readonly left = word();
}
