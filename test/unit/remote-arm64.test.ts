// The program of a remote process for arm64, emulated: its calls have that machine's numbers.
import { describe, expect, test } from "bun:test";
import { stringVector } from "../../src/linux/call/argument-memory";
import type { Fd } from "../../src/linux/call/fd";
import { trySyscall } from "../../src/linux/call/syscall";
import { socketPair } from "../../src/linux/file/unix-socket";
import { execveStep } from "../../src/linux/process/execute";
import { processStatus, reapChild } from "../../src/linux/process/process";
import { KIND, RANGE, RANGE_AT, remoteCode } from "../../src/linux/remote/remote-code";
import { SharedRange } from "../../src/linux/remote/shared-range";
import { inheritSteps } from "../../src/linux/steps/child-steps";
import { cloneChild, Reports } from "../../src/linux/steps/clone-child";
import { elfProgram } from "../../src/linux/steps/elf";

const QEMU = Bun.which("qemu-aarch64");
const [GETPID, GETPPID, CLOSE, EXIT_GROUP] = [172n, 173n, 57n, 94n];
const SIGKILL = 9;
const LEAST = -(2n ** 63n);
const MOST = 2n ** 63n - 1n;
/** Where tables are. */
const TABLE = 1024;

class Emulated implements Disposable {
  readonly range = SharedRange.make();
  readonly pid: number;

  constructor(qemu: string, keep: readonly Fd[] = []) {
    using program = elfProgram(
      "calls",
      remoteCode(this.range.descriptor, "arm64"),
      new Uint8Array(16),
      "arm64",
    );
    const steps = [
      ...inheritSteps(0, [this.range.file, program, ...keep]),
      execveStep(qemu, stringVector(["qemu", `/proc/self/fd/${program.number}`]), stringVector([])),
    ];
    using reports = new Reports(steps);
    this.pid = cloneChild({ flags: 0, cgroup: undefined, steps, waitsForNothing: true }, reports);
    expect(reports.last()).toBeUndefined();
  }

  post(call: bigint | number, ...args: (bigint | number)[]): number {
    const { words, longWords } = this.range;
    const number = (words[0] ?? 0) + 1;
    longWords[RANGE.call / 8] = BigInt(call);
    args.forEach((argument, index) => {
      longWords[RANGE.arguments / 8 + index] = BigInt(argument);
    });
    Atomics.store(words, 0, number);
    this.range.wake(RANGE.asked);
    return number;
  }

  ask(call: bigint | number, ...args: (bigint | number)[]): bigint {
    const number = this.post(call, ...args);
    const { words, longWords } = this.range;
    for (let tries = 0; tries < 200; tries++) {
      const answered = Atomics.load(words, RANGE.answered / 4);
      if (answered === number) return longWords[RANGE.result / 8] ?? 0n;
      this.range.wait(RANGE.answered, answered);
    }
    throw new Error("no answer");
  }

  /** A table of calls, each with the results that let it go on; its address. */
  table(...steps: (readonly [call: bigint, argument: bigint, least: bigint, most: bigint])[]): number {
    const { longWords } = this.range;
    longWords.set([-1n, 0n, 0n], TABLE / 8);
    steps.forEach(([call, argument, least, most], index) => {
      longWords.set([call, argument, 0n, 0n, 0n, 0n, 0n, least, most], TABLE / 8 + 3 + 9 * index);
    });
    return RANGE_AT + TABLE;
  }

  [Symbol.dispose](): void {
    trySyscall("kill", this.pid, SIGKILL);
    reapChild(this.pid, true);
    this.range[Symbol.dispose]();
  }
}

describe("a remote process on arm64", () => {
  const names = ["calls, walks and last steps", "its lifeline"] as const;
  if (QEMU === null) {
    for (const name of names) {
      console.log(`skipped: ${name}: qemu-aarch64 is not installed`);
      test.skip(name, () => {});
    }
    return;
  }
  test(names[1], async () => {
    const [ours, theirs] = socketPair("lifeline");
    using way = theirs;
    using running = new Emulated(QEMU, [way]);
    running.range.lifeline = way.number;
    expect(running.ask(GETPID)).toBe(BigInt(running.pid));
    await Bun.sleep(1500);
    expect(processStatus(running.pid)?.state).not.toBe("Z");
    ours.close();
    expect(reapChild(running.pid, true)).toEqual({ status: 0, signal: undefined });
  });

  test(names[0], () => {
    using running = new Emulated(QEMU);
    expect(running.ask(GETPID)).toBe(BigInt(running.pid));
    expect(running.ask(CLOSE, 99)).toBe(-9n);
    const good = [GETPPID, 0n, 0n, MOST] as const;
    const bad = [CLOSE, 99n, 0n, MOST] as const;
    const either = [CLOSE, 99n, LEAST, MOST] as const;
    const tooMuch = [GETPPID, 0n, 0n, 0n] as const;
    const steps = running.table(good, either, good) + 24;
    expect(running.ask(KIND.walk, steps, 3)).toBe(3n);
    running.table(good, bad, good);
    expect(running.ask(KIND.walk, steps, 3)).toBe(1n);
    expect(running.range.longWords[RANGE.stepResult / 8]).toBe(-9n);
    running.table(good, tooMuch);
    expect(running.ask(KIND.walk, steps, 2)).toBe(1n);
    // an emulator may not know clone3: the refusal is an answer
    expect(running.ask(KIND.birth, 0, 0)).toBeLessThan(0n);
    expect(running.ask(KIND.spawn, 0, 0, 0)).toBeLessThan(0n);
    running.post(KIND.become, running.table(good, bad, good));
    expect(reapChild(running.pid, true)).toEqual({ status: 1, signal: undefined });
    expect([...running.range.longWords.subarray(TABLE / 8 + 1, TABLE / 8 + 3)]).toEqual([1n, -9n]);
    using other = new Emulated(QEMU);
    other.post(KIND.become, other.table(good, [EXIT_GROUP, 5n, 0n, 0n]));
    expect(reapChild(other.pid, true)).toEqual({ status: 5, signal: undefined });
  });
});
