import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { memoryFile } from "../../src/linux/file/memfd";
import { PROGRAM_END_AT, toldProgramEnd } from "../../src/state/program-end";

/** What a first process of hako's would have written: si_code, the status, and the seconds of the clock. */
function told(how: number, status: number, seconds: bigint) {
  using file = memoryFile("end");
  const words = new BigInt64Array(6);
  words[PROGRAM_END_AT.how / 8] = BigInt(how);
  words[PROGRAM_END_AT.status / 8] = BigInt(status);
  words[PROGRAM_END_AT.time / 8] = seconds;
  writeFileSync(file.path, words);
  return toldProgramEnd(file);
}

test("the status, or the signal, and the time of a program's end", () => {
  expect(told(1, 7, 1n)).toEqual({
    status: 7,
    signal: undefined,
    finished: "1970-01-01T00:00:01.000Z",
    clock: 0,
  });
  expect(told(2, 9, 0n)).toMatchObject({ status: 137, signal: 9 });
  expect(told(3, 6, 0n)).toMatchObject({ status: 134, signal: 6 });
});

test("what the kernel would not have told is not believed", () => {
  for (const how of [0, 4, -1]) expect(told(how, 7, 1n)).toBeUndefined();
  for (const seconds of [1n << 62n, -(1n << 62n)]) expect(told(1, 7, seconds)).toBeUndefined();
});
