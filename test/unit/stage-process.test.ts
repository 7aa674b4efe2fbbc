import { expect, test } from "bun:test";
import { sendValue } from "../../src/init/protocol";
import { StageProcess } from "../../src/init/stage-process";
import { Reports } from "../../src/linux/clone";
import { Fd } from "../../src/linux/fd";
import { processStatus } from "../../src/linux/process";
import { socketPair } from "../../src/linux/socket";

test("what a process has said is heard, though it has ended before it was told all", () => {
  const [ours, theirs] = socketPair("socket to the container's process");
  const warnings: string[] = [];
  const { startTime = 0 } = processStatus(process.pid) ?? {};
  const stage = new StageProcess(
    process.pid,
    startTime,
    ours,
    new Reports([]),
    new Fd(-1),
    (message) => warnings.push(message),
    undefined,
  );
  sendValue(theirs, { warning: "a mount option does nothing" });
  sendValue(theirs, { error: { code: "system", message: "mount /data: no such file or directory" } });
  theirs.close();
  expect(() => stage.giveFilter(undefined)).toThrow("mount /data: no such file or directory");
  expect(warnings).toEqual(["a mount option does nothing"]);
  ours.close();
});
