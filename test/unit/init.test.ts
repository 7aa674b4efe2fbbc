// The first process of hako's own: the end of a remote process, here without namespaces, and for arm64 emulated.
import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, ftruncateSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { INIT_CALLS, initFilter } from "../../src/drivers/namespaces/init/init-filter";
import { initProgram } from "../../src/drivers/namespaces/init/init-rows";
import { stringVector } from "../../src/linux/call/argument-memory";
import { Fd } from "../../src/linux/call/fd";
import { trySyscall } from "../../src/linux/call/syscall";
import { type SyscallName, syscallNumberOn } from "../../src/linux/call/syscall-numbers";
import { noNewPrivilegesStep } from "../../src/linux/process/credentials";
import { execveStep } from "../../src/linux/process/execute";
import { processStatus, reapChild } from "../../src/linux/process/process";
import { failureAt } from "../../src/linux/remote/failed-step";
import { KIND, RANGE, RANGE_AT, remoteCode } from "../../src/linux/remote/remote-code";
import { SharedRange } from "../../src/linux/remote/shared-range";
import { inheritSteps } from "../../src/linux/steps/child-steps";
import { cloneChild, Reports } from "../../src/linux/steps/clone-child";
import { DATA_AT, elfProgram } from "../../src/linux/steps/elf";
import { filledIn } from "../../src/linux/steps/template";
import { toldProgramEnd } from "../../src/state/program-end";
import { childrenOf } from "../e2e/children";

const QEMU = Bun.which("qemu-aarch64");
/** Where in the range a struct sigaction of zeros is, the table, a path, its arguments, two seconds, and the program's data. */
const [ZEROS, TABLE, SLEEP, ARGV, SECONDS, DATA] = [512, 1024, 4096, 4160, 4224, 0x10000];
const MOST = 2n ** 63n - 1n;
const directory = mkdtempSync(join(tmpdir(), "hako-init-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** Goes on when something is so, or has not become so in a few seconds. */
function soon(holds: () => boolean): void {
  for (let tries = 0; tries < 1000 && !holds(); tries++) Bun.sleepSync(5);
}

/** Until a first process waits for signals and ends of children; where that may not be looked at, for as long as it takes at most. */
function untilItWaits(pid: number): void {
  const call = `${syscallNumberOn(process.arch, "rt_sigtimedwait")} `;
  try {
    soon(() => readFileSync(`/proc/${pid}/syscall`, "utf8").startsWith(call));
  } catch {
    Bun.sleepSync(200);
  }
}

/** What a program's process does: calls, and the least result with which it goes on. */
type Calls = [call: SyscallName, args: number[], least?: bigint][];

/** A remote process of a machine that becomes the first process; how it ended, what it told of the program, and a step that failed. */
function run(machine: string, calls: Calls | "idle", whileItRuns: (pid: number) => void = () => {}) {
  using range = SharedRange.make();
  using code = elfProgram("calls", remoteCode(range.descriptor, machine), new Uint8Array(16), machine);
  const path = join(directory, "end");
  const number = openSync(path, "w+");
  ftruncateSync(number, 4096);
  const end = new Fd(number, "end");
  const program = [`/proc/self/fd/${code.number}`];
  const words = machine === process.arch ? program : [QEMU ?? "", ...program];
  const steps = [
    // its filter needs that
    noNewPrivilegesStep(),
    ...inheritSteps(0, [range.file, code, end]),
    execveStep(words[0] ?? "", stringVector(words), stringVector([])),
  ];
  using reports = new Reports(steps);
  const pid = cloneChild({ flags: 0, cgroup: undefined, steps, waitsForNothing: true }, reports);
  expect(reports.last()).toBeUndefined();
  const rows = (calls === "idle" ? [] : calls).map(([call, args, least = 0n]) => {
    const six = Array.from({ length: 6 }, (_, index) => BigInt(args[index] ?? 0));
    return [BigInt(syscallNumberOn(machine, call)), ...six, least, MOST];
  });
  range.longWords.set([-1n, 0n, 0n, ...rows.flat()], TABLE / 8);
  const data = filledIn(initProgram(machine), {
    ...{ table: RANGE_AT + TABLE, birth: 99, death: 9, start: -1, connection: -1, answer: 0 },
    ...{ end: end.number, stops: -1, below: 0, above: 0, filtered: machine === process.arch ? 1 : 0 },
    idle: calls === "idle" ? 1 : 0,
  });
  range.bytes.set(data, DATA);
  range.bytes.set(new TextEncoder().encode("/bin/sleep\0 30\0"), SLEEP);
  range.longWords.set(
    [SLEEP, SLEEP + 11].map((at) => BigInt(RANGE_AT + at)),
    ARGV / 8,
  );
  range.longWords.set([2n, 0n], SECONDS / 8);
  const post = (call: number, ...args: number[]) => {
    const asked = (range.words[0] ?? 0) + 1;
    range.longWords.set([BigInt(call), ...args.map(BigInt)], RANGE.call / 8);
    Atomics.store(range.words, 0, asked);
    range.wake(RANGE.asked);
    return asked;
  };
  const [RW, PRIVATE_FIXED] = [3, 0x12];
  const mapped = post(
    syscallNumberOn(machine, "mmap"),
    ...[DATA_AT, data.length, RW, PRIVATE_FIXED, range.descriptor, DATA],
  );
  while (Atomics.load(range.words, RANGE.answered / 4) !== mapped)
    range.wait(RANGE.answered, Atomics.load(range.words, RANGE.answered / 4));
  post(KIND.rows, DATA_AT);
  whileItRuns(pid);
  const ending = reapChild(pid, true);
  const told = toldProgramEnd(end);
  closeSync(number);
  end.release();
  return { ending, told, failed: failureAt(range, TABLE) };
}

for (const machine of [process.arch, ...(process.arch === "arm64" ? [] : ["arm64"])]) {
  describe(`a first process on ${machine}`, () => {
    const it = (name: string, body: () => void) => {
      if (machine === process.arch || QEMU !== null) return test(name, body);
      console.log(`skipped: ${name}, ${machine}: qemu-aarch64 is not installed`);
      test.skip(name, () => {});
    };

    it("ends as its program did, and tells it", () => {
      const { ending, told, failed } = run(machine, [
        ["getppid", []],
        ["exit_group", [7]],
      ]);
      expect([ending, failed]).toEqual([{ status: 7, signal: undefined }, undefined]);
      expect(told).toMatchObject({ status: 7, signal: undefined });
      expect(Math.abs(Date.parse(told?.finished ?? "") - Date.now())).toBeLessThan(60_000);
    });

    it("ends with a status where a signal ended the program, and tells which", () => {
      const [SELF, TERM] = [0, 15];
      // its own process group: the signal does not come to the first process
      const killed = run(machine, [
        ["setpgid", [0, 0]],
        ["kill", [SELF, TERM]],
        ["exit_group", [0]],
      ]);
      expect(killed.ending).toEqual({ status: 143, signal: undefined });
      expect(killed.told).toMatchObject({ status: 143, signal: TERM });
    });

    it("leaves word of a step that has failed", () => {
      const { ending, failed } = run(machine, [
        ["getppid", []],
        ["close", [99]],
      ]);
      expect(ending).toEqual({ status: 1, signal: undefined });
      expect(failed).toEqual([1, -9]);
    });

    it("has left what the program must not get at before that is executed, and can trace it", () => {
      if (process.getuid?.() !== 0) {
        console.log(`skipped: what a first process on ${machine} has left: only root may look into it`);
        return;
      }
      const reads: string[] = [];
      const { ending } = run(
        machine,
        // the program's process, before it executes anything
        [
          ["rt_sigtimedwait", [RANGE_AT + ZEROS, 0, RANGE_AT + SECONDS, 8], -11n],
          ["exit_group", [3]],
        ],
        (pid) => {
          // an emulator has descriptors, and no filter
          if (machine !== process.arch) return;
          untilItWaits(pid);
          const [, filter = ""] = /^Seccomp:\t(\d)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
          const maps = readFileSync(`/proc/${pid}/maps`, "utf8");
          reads.push(filter, String(readdirSync(`/proc/${pid}/fd`).length), String(/^1000000/m.test(maps)));
        },
      );
      expect(ending?.status).toBe(3);
      if (machine === process.arch) expect(reads).toEqual(["2", "0", "false"]);
    });

    it("is alone where there is no program, and no signal from its own pid namespace ends it", () => {
      const { ending, failed } = run(machine, "idle", (pid) => {
        untilItWaits(pid);
        for (const signal of [15, 2, 1, 3, 10]) {
          trySyscall("kill", pid, signal);
          Bun.sleepSync(20);
        }
        expect(reapChild(pid, false)).toBeUndefined();
        trySyscall("kill", pid, 9);
      });
      expect([ending?.signal, failed]).toEqual([9, undefined]);
    });

    it("passes signals on: to the program, or to its group", () => {
      for (const signal of [15, 2, 1, 10, ...(machine === process.arch ? [40] : [])]) {
        const { ending } = run(
          machine,
          [
            ["setpgid", [0, 0]],
            // the tests may be a job that is not interrupted
            ["rt_sigaction", [signal, RANGE_AT + ZEROS, 0, 8]],
            ["execve", [RANGE_AT + SLEEP, RANGE_AT + ARGV, RANGE_AT + ZEROS]],
          ],
          (pid) => {
            soon(() => childrenOf(pid).some((child) => processStatus(child)?.name === "sleep"));
            untilItWaits(pid);
            trySyscall("kill", pid, signal);
          },
        );
        expect(ending?.status).toBe(128 + signal);
      }
    });
  });
}

test("the filter of a first process lets its calls through, and no others", () => {
  for (const machine of ["x64", "arm64"]) {
    const { pointers } = initFilter(machine);
    const code = pointers[0]?.[1] as Uint32Array;
    const audit = code[3] ?? 0;
    /** Interprets the three instructions that there are. */
    const decide = (number: number, architecture: number): number => {
      let accumulator = 0;
      for (let at = 0; ; at++) {
        const [instruction = 0, k = 0] = [code[2 * at], code[2 * at + 1]];
        const [operation, ifTrue, ifFalse] = [
          instruction & 0xffff,
          (instruction >> 16) & 0xff,
          instruction >>> 24,
        ];
        if (operation === 0x06) return k;
        if (operation === 0x20) accumulator = k === 4 ? architecture : number;
        else at += accumulator === k ? ifTrue : ifFalse;
      }
    };
    const allowed = INIT_CALLS.map((call) => syscallNumberOn(machine, call));
    for (let number = 0; number < 500; number++)
      expect([number, decide(number, audit)]).toEqual([
        number,
        allowed.includes(number) ? 0x7fff0000 : 0x80000000,
      ]);
    for (const number of allowed) expect(decide(number, audit + 1)).toBe(0x80000000);
  }
});
