import { describe, expect, test } from "bun:test";
import type { Step } from "../../src/linux/call/step";
import { isSuccess, type Success } from "../../src/linux/call/success";
import { tableOf } from "../../src/linux/steps/table";

const EACCES = -13;
const ENOENT = -2;
const EPERM = -1;
const [LEAST_ERRNO, ADDRESS] = [-4095, 0x7fff_ffff_f000];
const RESULTS = [LEAST_ERRNO, EACCES, ENOENT, EPERM, 0, 1, 7, 8, ADDRESS];

/** The results that are a success for machine code, which compares with the table's last two words of a step. */
function inTable(success: Success | undefined): number[] {
  const step: Step = { what: "", call: "getpid", args: [], ...(success === undefined ? {} : { success }) };
  const { words } = tableOf(-1, [step]);
  const [least = 0n, most = 0n] = new BigInt64Array(words.buffer).slice(-2);
  return RESULTS.filter((result) => BigInt(result) >= least && BigInt(result) <= most);
}

describe("results with which a step is a success", () => {
  const cases: [success: Success | undefined, results: number[]][] = [
    [undefined, [0, 1, 7, 8, ADDRESS]],
    ["not negative", [0, 1, 7, 8, ADDRESS]],
    ["anything", RESULTS],
    ["failure", [LEAST_ERRNO, EACCES, ENOENT, EPERM]],
    ["never", []],
    [{ exactly: 0 }, [0]],
    [{ exactly: 7 }, [7]],
    [{ atLeast: 1 }, [1, 7, 8, ADDRESS]],
    [{ or: "EPERM" }, [EPERM, 0, 1, 7, 8, ADDRESS]],
    [{ only: "EACCES" }, [EACCES]],
    [{ only: "EPERM" }, [EPERM]],
  ];
  for (const [success, results] of cases) {
    test(`${JSON.stringify(success)}, for a thread of hako's and for machine code`, () => {
      expect(RESULTS.filter((result) => isSuccess(result, success))).toEqual(results);
      expect(inTable(success)).toEqual(results);
    });
  }
});
