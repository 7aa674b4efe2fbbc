// A program that only makes system calls: it is executed here as any other.
import { describe, expect, test } from "bun:test";
import { launcher } from "../../src/linux/launcher";
import { stringVector } from "../../src/linux/memory";
import type { Step } from "../../src/linux/steps";

const say = (text: string): Step => ({ what: "write", call: "write", args: [1, text, text.length] });
const exit = (status: number): Step => ({ what: "exit", call: "exit_group", args: [status] });

function run(steps: readonly Step[], first = 0) {
  using program = launcher(1, steps, first);
  const { exitCode, stdout } = Bun.spawnSync([`/proc/${process.pid}/fd/${program.number}`], {
    env: {},
    stdin: "ignore",
  });
  return { exitCode, stdout: Buffer.from(stdout) };
}

/** What a program that fails writes: the number of a step, and its result. */
function report({ stdout }: { stdout: Buffer }): [number, number] {
  expect(stdout).toHaveLength(16);
  return [Number(stdout.readBigInt64LE(0)), Number(stdout.readBigInt64LE(8))];
}

describe("a launcher", () => {
  test("makes the calls in their order", () => {
    const { exitCode, stdout } = run([say("one "), say("two"), exit(7)]);
    expect([exitCode, stdout.toString()]).toEqual([7, "one two"]);
  });

  test("says which step failed, and how", () => {
    const bad: Step = { what: "close", call: "close", args: [99] };
    const failed = run([{ ...bad, optional: true }, bad, exit(0)], -10);
    expect(failed.exitCode).toBe(1);
    expect(report(failed)).toEqual([-9, -9]);
  });

  test("results that are too small, too large, or an expected failure", () => {
    const dup = (more: Partial<Step>): Step => ({ what: "dup", call: "dup", args: [1], ...more });
    expect(report(run([dup({ least: 4 })]))).toEqual([0, 3]);
    expect(report(run([dup({ most: 2n })]))).toEqual([0, 3]);
    const noSuch: Step = { what: "close", call: "close", args: [99], least: -9, most: -9n };
    expect(run([noSuch, exit(3)]).exitCode).toBe(3);
    expect(report(run([dup({ least: -9, most: -9n })]))).toEqual([0, 3]);
  });

  test("memory with addresses in it; the same memory twice is one", () => {
    const environment = stringVector(["WORD=hello"]);
    const words = stringVector(["sh", "-c", 'echo "$WORD" $#', "sh", "a", "b"]);
    const { stdout } = run([{ what: "execve", call: "execve", args: ["/bin/sh", words, environment] }]);
    expect(stdout.toString()).toBe("hello 2\n");
    const pair = new Int32Array(2);
    const { exitCode } = run([
      { what: "pipe2", call: "pipe2", args: [pair, 0] },
      // what the kernel wrote there, 3 and 4, is the text of this write
      { what: "write", call: "write", args: [4, pair, 8] },
      { what: "dup3", call: "dup3", args: [3, 0, 0] },
      {
        what: "execve",
        call: "execve",
        args: [
          "/bin/sh",
          stringVector(["sh", "-c", 'test "$(head -c 8 | od -An -tx1 | tr -d " ")" = 0300000004000000']),
          stringVector(["PATH=/usr/bin:/bin"]),
        ],
      },
    ]);
    expect(exitCode).toBe(0);
  });

  test("large memory", () => {
    const large = new Uint8Array(300_000).fill(120);
    const { stdout } = run([{ what: "write", call: "write", args: [1, large, large.length] }, exit(0)]);
    expect(stdout.length).toBeGreaterThanOrEqual(65536);
    expect(stdout.every((byte) => byte === 120)).toBe(true);
  });
});
