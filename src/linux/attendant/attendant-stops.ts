import type { Memory } from "../call/argument-memory";
import { POLL, SIG, SIGPROCMASK } from "../call/constants";
import { ANY, type Operand, type RowProgram, within, word, wordIn } from "../steps/row-program";
import { ATTEND, type AttendantPart, type AttendantWords, NO_POLL } from "./attendant-rows";
import { CAME_TO } from "./attendant-status";

/** Signals by which a job is told to stop. */
const STOPPING = [SIG.TSTP, SIG.TTIN, SIG.TTOU];
/** struct timespec. */
const NO_TIME = new BigInt64Array(2);

/** What poll(2) tells of a descriptor that can be read, or whose other end is closed. */
const ENDED = (POLL.IN | POLL.ERR | POLL.HUP) * 2 ** 48;

/**
 * The part for a process in another session, in which nothing stops this one with it: when it was told to stop, and has, this one stops as the job
 * that its shell waits for, and continues it when it is continued itself. A process that goes on leaves this one as it is.
 */
export class StoppedJob implements AttendantPart {
  readonly signals = [];
  /** The signal that it was told to stop by, or 0. */
  readonly #asked = word();

  /**
   * `stops`: an eventfd(2), to be read when the process was stopped, or `NO_POLL`. `seconds` and `nanoseconds` are how long the process may run,
   * without the time that the job is stopped; of -1 seconds for ever. `lifeline`: a descriptor whose end is the process's end, or `NO_POLL`.
   */
  constructor(
    private readonly stops: Operand,
    private readonly seconds: Operand,
    private readonly nanoseconds: Operand,
    private readonly lifeline: Operand,
  ) {}

  start(program: RowProgram, { polled, count, time, timeout, late }: AttendantWords): void {
    count[0] = 3n;
    const unlimited = program.freshLabel();
    program.when(this.seconds, -1, unlimited);
    program.set(time, this.seconds);
    program.set(within(time, 8), this.nanoseconds);
    program.set(timeout, within(time, 0));
    program.set(late, { row: "late" });
    program.label(unlimited);
    program.sum([this.stops, POLL.IN * 2 ** 32], { to: within(polled, 8) });
    program.sum([this.lifeline, POLL.IN * 2 ** 32], { to: within(polled, 16) });
    const kept = program.freshLabel();
    program.when(this.stops, NO_POLL, kept);
    // who reads what the process writes is at its end when that has closed it
    for (const stream of [0, 1]) program.call("close", [stream], ANY);
    program.label(kept);
  }

  signal(program: RowProgram, _: AttendantWords, signal: Memory): void {
    for (const stopping of STOPPING) program.when(wordIn(signal), stopping, "told to stop");
    program.when(wordIn(signal), SIG.CONT, "told to continue");
    program.goto("passed on");
    program.label("told to continue");
    program.set(this.#asked, 0, "passed on");
    program.label("told to stop");
    program.set(this.#asked, wordIn(signal));
    program.label("passed on");
  }

  ready(program: RowProgram, { polled, child, status }: AttendantWords): void {
    const [events, bits, set, self, asked] = [word(), word(), word(), word(), this.#asked];
    program.mask(wordIn(polled, 16), ENDED, { most: 0, next: "lifeline holds", otherwise: undefined });
    program.set(within(polled, 16), NO_POLL);
    program.call("kill", [wordIn(child), SIG.KILL], { ...ANY, next: ATTEND.wait });
    program.label("lifeline holds");
    program.mask(wordIn(polled, 8), POLL.IN * 2 ** 48, { most: 0, next: ATTEND.wait, otherwise: undefined });
    program.call("read", [this.stops, events, 8], ANY);
    program.when(wordIn(asked), 0, ATTEND.wait);
    // the set with this signal alone
    program.sum([65, 0, wordIn(asked)], { to: bits });
    program.rotate(1, wordIn(bits), { to: set });
    program.call("getpid", [], { to: self });
    program.call("rt_sigprocmask", [SIGPROCMASK.SIG_UNBLOCK, set, 0, 8]);
    program.call("kill", [wordIn(self), wordIn(asked)], ANY);
    // continued; or never stopped, for who has no job control
    program.call("rt_sigprocmask", [SIGPROCMASK.SIG_BLOCK, set, 0, 8]);
    program.set(asked, 0);
    program.call("rt_sigtimedwait", [word(1 << (SIG.CONT - 1)), 0, NO_TIME, 8], ANY);
    program.call("kill", [wordIn(child), SIG.CONT], { ...ANY, next: ATTEND.wait });
    program.label("late");
    program.call("kill", [wordIn(child), SIG.KILL], ANY);
    program.set(status, CAME_TO.late, ATTEND.again);
  }

  restore(): void {}
}
