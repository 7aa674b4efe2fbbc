// Prints what the first touch of a page of memory takes here, in nanoseconds of processor time. A program of its own, called by scripts/bench: it
// wants no huge pages, and children would inherit that.
import { readFileSync } from "node:fs";
import { syscallOn } from "../src/linux/call/syscall";

const PR_SET_THP_DISABLE = 41;
const PAGE = 4096;
const SIZE = 64 << 20;
const ROUNDS = 5;

/** minflt of proc_pid_stat(5). */
function faults(): number {
  return Number(
    readFileSync("/proc/self/stat", "utf8")
      .replace(/^.*\) /s, "")
      .split(" ")[7],
  );
}

function touch(memory: Uint8Array): void {
  for (let at = 0; at < memory.length; at += PAGE) memory[at] = 1;
}

/** A function that runs for the first time is slow. */
const WARM = new Uint8Array(PAGE);
for (let round = 0; round < 20_000; round++) touch(WARM);

syscallOn("transparent huge pages", "prctl", PR_SET_THP_DISABLE, 1, 0, 0, 0);
const costs: number[] = [];
for (let round = 0; round < ROUNDS; round++) {
  const memory = new Uint8Array(SIZE);
  const before = faults();
  const start = process.cpuUsage();
  touch(memory);
  const { user, system } = process.cpuUsage(start);
  costs.push(((user + system) * 1000) / (faults() - before));
}
console.log(costs.toSorted((a, b) => a - b)[ROUNDS >> 1]);
