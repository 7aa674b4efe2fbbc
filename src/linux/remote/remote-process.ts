import { errnoNumber } from "../../base/errno";
import { HakoError } from "../../base/errors";
import { type Actor, actAs, actHere } from "../call/actor";
import { cString, type Memory } from "../call/argument-memory";
import { bytesOf } from "../call/bytes";
import { MAP, PROT } from "../call/constants";
import type { CloneSyscall, Step, SyscallArgument, Walk } from "../call/step";
import { type SyscallName, syscallNumber } from "../call/syscall-numbers";
import { checkWalk } from "../call/walk";
import { DATA_AT } from "../steps/elf";
import { tableOf } from "../steps/table";
import { CallMemory, LARGEST, shortenedMemory } from "./call-memory";
import { PREPARED, stepName, TABLE } from "./failed-step";
import { forged, isAnswer, LEAST_ANSWER, mostOf, silence, waitOf } from "./remote-answers";
import { KIND, RANGE, RANGE_AT } from "./remote-code";
import type { SharedRange } from "./shared-range";

const NO_REPORT = -1;
const GONE = -errnoNumber("ESRCH");
const EINTR = -errnoNumber("EINTR");
/** How long a process may be stopped that is asked for something, in milliseconds: a signal or a tracer may have forgotten it. */
const HALTED_MS = 10_000;
/** How long a child may take until it has executed its program, which may lie on a slow file system. */
const EXECUTION_MS = 60_000;
/** How many bytes a process answers in all that others can get at. */
const MOST_TOLD = 1 << 26;

/** Calls that fill a buffer, by its place among the arguments; the result is how much of it. */
const FILLS: Partial<Record<SyscallName, number>> = {
  read: 1,
  pread64: 1,
  getdents64: 1,
  readlinkat: 2,
  getcwd: 0,
};
/** Calls that only read a buffer. */
const TAKES: Partial<Record<SyscallName, number>> = { write: 1, pwrite64: 1 };

/** What is known of a remote process beside its range. */
export interface RemoteWatch {
  /** Whether it has ended; asked when it does not answer. */
  ended(): boolean;
  /** Whether it is stopped, by a signal or by who traces it; asked when it does not answer. */
  halted(): boolean;
  /** What to say of its end. */
  death(): HakoError;
}

const NOBODY: RemoteWatch = {
  ended: () => false,
  halted: () => false,
  death: () => new HakoError({ code: "system", message: "a process that is not there yet" }),
};

/**
 * A process that makes the system calls which it is told through a range of shared memory, and nothing else: its program is
 * some hundred bytes, in a sealed file of no file system. What it answers is believed no more than a number can be: whoever may
 * trace it can answer in its place.
 */
export class RemoteProcess implements Actor {
  #gone = false;
  readonly #memory: CallMemory;
  /** Descriptors that it closes before whatever it is told next: nobody waits for that. */
  #closing: number[] = [];
  /** Steps that it makes meanwhile, and the number that they were asked for by. */
  #begun: { steps: readonly Step[]; number: number } | undefined;

  /**
   * `watch` may be known later, when the process is there. `patience` is how many milliseconds its answers may take in all, where others
   * can get at it: they may keep it from answering, or answer in its place for ever. What a call waits for by itself is not counted.
   */
  constructor(
    readonly range: SharedRange,
    public watch: RemoteWatch = NOBODY,
    private patience = Number.POSITIVE_INFINITY,
  ) {
    this.#memory = new CallMemory(range);
  }

  /** From now on others can get at it. */
  expose(patience: number): void {
    this.patience = patience;
  }

  get #isExposed(): boolean {
    return Number.isFinite(this.patience);
  }

  /** Does something with this process acting. */
  act<T>(action: () => T): T {
    return actAs(this, action);
  }

  call(name: SyscallName, args: readonly SyscallArgument[]): number {
    if (name === "close") {
      this.#closing.push(Number(args[0]));
      return 0;
    }
    this.settle();
    this.#memory.clear();
    const fills = FILLS[name];
    const takes = TAKES[name];
    const back: [memory: Memory, at: number][] = [];
    const words = args.map((argument, index) => {
      if (typeof argument === "number" || typeof argument === "bigint") {
        // how long the buffer is comes after it
        const isLength = (fills ?? takes) === index - 1 && (fills ?? takes) !== undefined;
        return isLength ? Math.min(Number(argument), LARGEST) : argument;
      }
      if (argument === null) return 0;
      if (typeof argument === "string") return this.#memory.place(cString(argument));
      const at =
        index === fills
          ? this.#memory.reserve(argument)
          : this.#memory.place(index === takes ? shortenedMemory(argument) : argument);
      if (index !== takes) back.push([argument, at]);
      return at;
    });
    const most = mostOf(words, fills ?? takes);
    for (;;) {
      const result = this.#make(name, words, waitOf(name, args));
      if (result === EINTR) continue;
      if (result < LEAST_ANSWER || result > most) throw forged(`${name} gives ${result}`);
      const filled = fills === undefined ? undefined : result;
      for (const [memory, at] of back) this.#memory.giveBack(memory, at, filled);
      if (this.#memory.told > MOST_TOLD && this.#isExposed) throw forged("a file has no end");
      return result;
    }
  }

  walk(steps: readonly Step[]): Walk {
    if (steps.length === 0) return [0, 0];
    this.settle();
    this.#memory.clear();
    return this.#walk(steps);
  }

  /** Makes steps; throws the error of the one that failed. */
  perform(steps: readonly Step[]): void {
    checkWalk(steps, this.walk(steps));
  }

  /** It makes steps, and nobody waits for it before it is told something else, or `settle`. */
  begin(steps: readonly Step[]): void {
    this.settle();
    this.#memory.clear();
    const all = [...this.#closeSteps(), ...steps];
    const table = this.#lay(all, NO_REPORT);
    const number = this.#post(KIND.walk, [RANGE_AT + table + TABLE.steps, all.length]);
    this.#begun = { steps: all, number };
  }

  /** Waits for what it has begun; throws the error of the step that failed. */
  settle(): void {
    if (this.#begun === undefined) return;
    const { steps, number } = this.#begun;
    this.#begun = undefined;
    checkWalk(steps, this.#walked(this.#answer(number, this.#now(), 0), steps.length));
  }

  clone(call: CloneSyscall, steps: readonly Step[], report: number, first: number): number {
    this.#prepareForMore();
    const table = this.#lay(steps, report, first);
    const pid = this.#ask(KIND.spawn, [...this.#cloneWords(call), RANGE_AT + table], EXECUTION_MS);
    if (pid < LEAST_ANSWER) throw forged(`${call.call} gives ${pid}`);
    return pid;
  }

  /** Makes a copy of itself, which is driven from now on, and ends; its pid, or -errno. Nothing of earlier calls goes along. */
  birth(call: CloneSyscall): number {
    this.#prepareForMore();
    this.#memory.free();
    return this.#ask(KIND.birth, this.#cloneWords(call));
  }

  #cloneWords({ call, args: [what, second] }: CloneSyscall): [number, number | bigint, number] {
    return [syscallNumber(call), typeof what === "bigint" ? what : this.#memory.place(what), second];
  }

  /**
   * Lays the steps of its end out, where they stay whatever it is told before; `become` makes them. Nothing else stays. With `named` the
   * range says what they are called, for who doesn't know it otherwise, and behind these what `more` are, which are made elsewhere.
   */
  prepare(steps: readonly Step[], named = true, more: readonly Step[] = []): void {
    this.#prepareForMore();
    const { words } = this.range;
    words[PREPARED.table / 4] = this.#lay(steps, NO_REPORT);
    if (named) {
      const names = bytesOf(JSON.stringify([...steps, ...more].map(stepName)));
      words[PREPARED.names / 4] = this.#memory.place(names) - RANGE_AT;
      words[PREPARED.namesLength / 4] = names.length;
    }
    this.#memory.keep();
    this.#memory.free();
  }

  /** Where the table of the steps is that were prepared. */
  get prepared(): number {
    return this.range.words[PREPARED.table / 4] ?? 0;
  }

  /**
   * Tells it to make steps, then a child that makes the steps which were prepared, as `become` would, and to end. It may be told so
   * before it is executed. `heard` says what it answers.
   */
  bear(steps: readonly Step[], call: CloneSyscall): void {
    this.#prepareForMore();
    const table = this.#lay(steps, NO_REPORT);
    const words = [...this.#cloneWords(call), RANGE_AT + this.prepared];
    this.#post(KIND.bear, [RANGE_AT + table + TABLE.steps, steps.length, ...words]);
  }

  /** The child's pid, or -errno, of one that was told to `bear`; the error of a step of those before it is thrown. */
  heard(steps: readonly Step[]): number {
    const answer = this.#answer(this.range.words[RANGE.asked / 4] ?? 0, this.#now(), 0);
    const walk = this.#walked(answer, steps.length);
    checkWalk(steps, walk);
    return walk[1];
  }

  /** It makes these steps first, without an answer that anybody waits for; then it can be told more. */
  later(steps: readonly Step[]): void {
    this.#prepareForMore();
    const table = this.#lay(steps, NO_REPORT);
    this.#memory.keep();
    this.#post(KIND.walk, [RANGE_AT + table + TABLE.steps, steps.length]);
  }

  /** It makes the steps that were prepared, of which the last executes a program, and ends where one fails. */
  become(): void {
    this.#prepareForMore();
    this.#memory.free();
    this.#post(KIND.become, [RANGE_AT + this.prepared]);
  }

  /**
   * It goes on as a program of rows with these data, which finds the range where it is, with the table of the steps that were prepared, and as
   * nothing else.
   */
  becomeRows(data: Uint8Array): void {
    this.#prepareForMore();
    const at = this.#memory.placePages(data);
    this.#memory.keep();
    const flags = MAP.PRIVATE | MAP.FIXED;
    this.perform([
      {
        what: "mmap of its own memory",
        call: "mmap",
        args: [DATA_AT, data.length, PROT.READ | PROT.WRITE, flags, this.range.descriptor, at],
        success: { exactly: DATA_AT },
      },
    ]);
    this.#prepareForMore();
    this.#memory.free();
    this.#post(KIND.rows, [DATA_AT]);
  }

  /** A system call, behind what is still to be closed, which may take so many milliseconds by itself. */
  #make(name: SyscallName, words: readonly (number | bigint)[], wait: number): number {
    if (this.#gone || this.#closing.length === 0) return this.#ask(syscallNumber(name), words, wait);
    const [made, result] = this.#walk([{ what: name, call: name, args: words, success: "anything" }], wait);
    return made < 1 ? GONE : result;
  }

  #walk(steps: readonly Step[], wait = 0): Walk {
    const closing = this.#closeSteps();
    const all = closing.length === 0 ? steps : [...closing, ...steps];
    const table = this.#lay(all, NO_REPORT);
    const answer = this.#ask(KIND.walk, [RANGE_AT + table + TABLE.steps, all.length], wait);
    if (this.#gone) throw this.watch.death();
    const [made, result] = this.#walked(answer, all.length);
    if (made < closing.length) throw forged(`step ${made} gives ${result}`);
    return [made - closing.length, result];
  }

  /** What an answer says of so many steps. */
  #walked(made: number, steps: number): Walk {
    const word = this.range.longWords[RANGE.stepResult / 8] ?? 0n;
    if (made < 0 || made > steps || (made < steps && !isAnswer(Number(word))))
      throw forged(`step ${made} gives ${word}`);
    return [made, Number(BigInt.asIntN(32, word))];
  }

  #closeSteps(): Step[] {
    return this.#closing
      .splice(0)
      .map((number) => ({ what: `close ${number}`, call: "close", args: [number], success: "anything" }));
  }

  /** Nothing is begun, or to be closed, and memory for calls is free. */
  #prepareForMore(): void {
    this.settle();
    this.#memory.clear();
    if (this.#closing.length === 0) return;
    this.#walk([]);
    this.#memory.clear();
  }

  /** Asks for a call that may take so many milliseconds by itself; its result. */
  #ask(call: number, args: readonly (number | bigint)[], wait = 0): number {
    return this.#gone ? GONE : this.#answer(this.#post(call, args), this.#now(), wait);
  }

  /** Where nobody can get at the process nobody looks at the clock. */
  #now(): number {
    return this.#isExposed ? performance.now() : 0;
  }

  /** The answer to the call of this number. */
  #answer(number: number, began: number, wait: number): number {
    const result = this.#await(number, began, wait);
    if (began !== 0) this.patience -= Math.max(0, performance.now() - began - wait);
    return result;
  }

  #await(number: number, began: number, wait: number): number {
    const { words } = this.range;
    for (let halted: number | undefined; ; ) {
      const answered = Atomics.load(words, RANGE.answered / 4);
      if (answered === number) return words[RANGE.result / 4] ?? 0;
      this.range.wait(RANGE.answered, answered);
      if (Atomics.load(words, RANGE.answered / 4) === number) continue;
      if (actHere(() => this.watch.ended())) {
        // its last answer may have come right before its end
        if (Atomics.load(words, RANGE.answered / 4) === number) continue;
        this.#gone = true;
        throw actHere(() => this.watch.death());
      }
      const now = performance.now();
      halted = actHere(() => this.watch.halted()) ? (halted ?? now) : undefined;
      const isHalted = halted !== undefined && now - halted > Math.min(this.patience, HALTED_MS);
      if (isHalted || now - began - wait > this.patience) {
        this.#gone = true;
        throw silence();
      }
      // it may not have been woken, for lack of memory
      this.range.wake(RANGE.asked);
    }
  }

  #post(call: number, args: readonly (number | bigint)[]): number {
    const { words, longWords } = this.range;
    const number = ((words[RANGE.asked / 4] ?? 0) + 1) | 0;
    longWords[RANGE.call / 8] = BigInt(call);
    for (let index = 0; index < 6; index++) {
      longWords[RANGE.arguments / 8 + index] = BigInt(args[index] ?? 0);
    }
    Atomics.store(words, RANGE.asked / 4, number);
    this.range.wake(RANGE.asked);
    return number;
  }

  /** Lays steps out as a table; its offset. */
  #lay(steps: readonly Step[], report: number, first = 0): number {
    const { words } = tableOf(report, steps, this.#memory.place, first);
    return this.#memory.place(words) - RANGE_AT;
  }
}
