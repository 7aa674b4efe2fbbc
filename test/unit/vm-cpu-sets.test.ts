import { expect, test } from "bun:test";
import { changedCpuset, commonCpuset, processorsIn, withoutCpuset } from "../../src/drivers/vm/cpu-sets";

test("a change keeps the list that it does not name", () => {
  expect(changedCpuset(undefined, undefined)).toBeUndefined();
  expect(changedCpuset(undefined, { cpus: "", mems: "" })).toBeUndefined();
  const both = changedCpuset({ cpus: "0-1" }, { mems: "0" });
  expect(both).toEqual({ cpus: "0-1", mems: "0" });
  expect(changedCpuset(both, { cpus: "1", mems: "" })).toEqual({ cpus: "1", mems: "0" });
});

test("containers of a machine are bound to the same, or refused", () => {
  expect(commonCpuset([])).toBeUndefined();
  expect(commonCpuset([undefined, undefined])).toBeUndefined();
  expect(commonCpuset([{ cpus: "0" }, { cpus: "0" }])).toEqual({ cpus: "0" });
  for (const other of [undefined, { cpus: "1" }, { cpus: "0", mems: "0" }])
    expect(() => commonCpuset([{ cpus: "0" }, other])).toThrow(`the driver "vm" can't do this`);
});

test("the guest gets all limits but these, and as many processors as there are in the list", () => {
  expect(withoutCpuset({ pids: { limit: 1 }, cpu: { cpus: "3", mems: "0", quota: 5 } })).toEqual({
    pids: { limit: 1 },
    cpu: { quota: 5, cpus: undefined, mems: undefined },
  });
  expect(withoutCpuset({})).toEqual({});
  expect(["0", "0-3", "1,3-4", "", "0-7:1/2", "3-1"].map((cpus) => processorsIn({ cpus }))).toEqual([
    1, 4, 3, 0, 0, 0,
  ]);
});
