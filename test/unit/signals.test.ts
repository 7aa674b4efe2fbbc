import { expect, test } from "bun:test";
import { signalNumber } from "../../src/linux/process/signals";

const rows: [string, number][] = [
  ["TERM", 15],
  ["SIGTERM", 15],
  ["sigkill", 9],
  ["9", 9],
  ["0", 0],
  ["CLD", 17],
  ["POLL", 29],
  ["RTMIN", 34],
  ["RTMIN+3", 37],
  ["SIGRTMAX-1", 63],
  ["64", 64],
];
for (const [text, number] of rows) test(text, () => expect(signalNumber(text)).toBe(number));

for (const text of ["", "65", "-1", "MOON", "9x", "RTMIN+31", "RTMAX+1", "SIG", "toString"]) {
  test(`${JSON.stringify(text)} is none`, () => {
    expect(() => signalNumber(text)).toThrow("unknown signal");
  });
}
