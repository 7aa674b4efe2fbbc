// Signals of this process, kept in a pipe.
import { expect, test } from "bun:test";
import { SignalRecorder } from "../../src/linux/attendant/signal-recorder";
import { trySyscall } from "../../src/linux/call/syscall";

/** The signals that are in a recorder's pipe. */
function recorded(recorder: SignalRecorder): number[] {
  const words = new BigUint64Array(16);
  const length = trySyscall("read", recorder.reader.number, words, words.byteLength);
  return [...words.subarray(0, Math.max(0, length) / 8)].map(Number);
}

test("a recorder keeps the signals that come, in their order, whatever this process does", () => {
  const [HUP, USR2] = [1, 12];
  {
    using recorder = new SignalRecorder([HUP, USR2]);
    expect(recorded(recorder)).toEqual([]);
    process.kill(process.pid, "SIGUSR2");
    process.kill(process.pid, "SIGHUP");
    process.kill(process.pid, "SIGUSR2");
    // any thread of this process may take it, when that has its turn
    const signals: number[] = [];
    for (let tries = 0; signals.length < 3 && tries < 2000; tries++) {
      Bun.sleepSync(5);
      signals.push(...recorded(recorder));
    }
    expect(signals.sort()).toEqual([HUP, USR2, USR2].sort());
    expect(recorded(recorder)).toEqual([]);
  }
  const child = Bun.spawnSync([
    process.execPath,
    "-e",
    `import { SignalRecorder } from ${JSON.stringify(`${import.meta.dir}/../../src/linux/attendant/signal-recorder`)};
     { using recorder = new SignalRecorder([12]); process.kill(process.pid, 12); }
     process.kill(process.pid, 12); Bun.sleepSync(2000);`,
  ]);
  expect(child.signalCode).toBe("SIGUSR2");
});
