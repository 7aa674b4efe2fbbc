// What is asked of a container's process that others can get at, answered by somebody who says whatever comes into his head.
import { describe, expect, test } from "bun:test";
import { HakoError } from "../../src/base/errors";
import { leaveLastSteps, makeLastSteps } from "../../src/drivers/namespaces/program/last-steps";
import { runStartHooks } from "../../src/drivers/namespaces/program/start-hooks";
import { actAs } from "../../src/linux/call/actor";
import { Fd } from "../../src/linux/call/fd";
import { syscallNumber } from "../../src/linux/call/syscall-numbers";
import { failedStep } from "../../src/linux/remote/failed-step";
import { RemoteProcess } from "../../src/linux/remote/remote-process";
import { SharedRange } from "../../src/linux/remote/shared-range";
import { defaultConfig } from "../../src/oci/default";
import { compile } from "../../src/seccomp/compile";

const TRIES = 1000;
const WRITE = syscallNumber("write");
const RESULTS = [
  0,
  0,
  0,
  1,
  2,
  3,
  4,
  5,
  7,
  16,
  64,
  100,
  4096,
  2 ** 31 - 1,
  -1,
  -2,
  -3,
  -4,
  -11,
  -38,
  -4095,
  -4096,
  -(2 ** 31),
];

/** A sequence of numbers below 2^31 that is the same for the same seed. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return state >> 8;
  };
}

/** A process that answers at once, with any result, and any memory. */
function forger(range: SharedRange, seed: number): RemoteProcess {
  const next = numbers(seed);
  const { words, longWords, bytes } = range;
  range.wake = () => {
    const any = () => RESULTS[next() % RESULTS.length] ?? 0;
    const [call, , second, third] = Array.from(longWords.subarray(16 / 8, 72 / 8), Number);
    // mostly one that lets whoever asks go on: all steps were made, all was written
    const good = () => (call === -1 ? second : call === WRITE ? third : next() % 6) ?? 0;
    words[72 / 4] = next() % 24 === 0 ? any() : good();
    longWords[80 / 8] = next() % 24 === 0 ? BigInt(any()) << BigInt(next() % 33) : BigInt(next() % 6);
    // what a call that succeeds would leave, or nothing
    for (let count = next() % 3 === 0 ? next() % 200 : 0; count > 0; count--)
      bytes[128 + (next() % 16_384)] = next() % 3 === 0 ? next() & 0xff : next() % 6;
    words[4 / 4] = words[0] ?? 0;
  };
  const watch = {
    ended: () => false,
    halted: () => false,
    death: () => new HakoError({ code: "system", message: "it has died" }),
  };
  return new RemoteProcess(range, watch, 2_000);
}

/** All that is thrown for one of so many seeds, but errors that a person can read. */
function faultsOf(action: (range: SharedRange, seed: number) => void): string[] {
  const faults: string[] = [];
  for (let seed = 1; seed <= TRIES; seed++) {
    using range = SharedRange.make();
    try {
      action(range, seed);
    } catch (error) {
      if (!(error instanceof HakoError)) faults.push(`seed ${seed}: ${(error as Error).stack}`);
      else if (/undefined|NaN|\[object/.test(error.oneLine)) faults.push(`seed ${seed}: ${error.oneLine}`);
    }
  }
  return faults;
}

describe("whatever a container's process answers, what comes of it is an error, or nothing:", () => {
  const filter = compile({ defaultAction: "SCMP_ACT_ALLOW" });
  const config = defaultConfig({ rootless: false });
  const hooks = {
    startContainer: [{ path: "/bin/true" }, { path: "/bin/false", args: ["false"], timeout: 1 }],
  };
  const state = { ociVersion: "1.2.0", id: "x", status: "created", pid: 1, bundle: "/b" } as const;

  test("startContainer hooks", () => {
    const faults = faultsOf((range, seed) => {
      const remote = forger(range, seed);
      runStartHooks(remote, { ...config, hooks } as never, {
        state: state as never,
        filter: seed % 2 === 0 ? filter : undefined,
      });
      remote.become();
    });
    expect(faults).toEqual([]);
  });

  test("its last steps", () => {
    const { process } = config;
    if (process === undefined) throw new Error("no process");
    const program = { file: "/bin/x", args: ["x"], environment: ["A=b"], filter, last: undefined };
    const faults = faultsOf((range, seed) => {
      const remote = forger(range, seed);
      const startSocket = actAs(remote, () => new Fd(9));
      const options = {
        preserveFds: 0,
        descriptors: [],
        diesWithMaker: false,
        ownInit: undefined,
        landlocked: undefined,
      };
      if (seed % 3 === 0) makeLastSteps(remote, process, program as never, options, startSocket);
      else {
        leaveLastSteps(remote, process, program as never, options, { startSocket, hooks: seed % 2 === 0 });
        remote.become();
      }
    });
    expect(faults).toEqual([]);
  });

  test("what it leaves behind", () => {
    const faults = faultsOf((range, seed) => {
      const next = numbers(seed);
      for (let word = 96; word <= 108; word += 4)
        range.words[word / 4] = next() % 3 === 0 ? -next() : next() % 5000;
      for (let count = 0; count < 2000; count++) range.bytes[128 + (next() % 8000)] = next() & 0xff;
      failedStep(range);
    });
    expect(faults).toEqual([]);
  });
});
