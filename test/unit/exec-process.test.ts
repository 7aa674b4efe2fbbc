// A process that waits to execute its program, seen by its maker.
import { expect, test } from "bun:test";
import { ExecChannels, ExecProcess } from "../../src/init/exec-process";
import type { ProgramOutside } from "../../src/init/program-outside";
import { STAGE_NAME } from "../../src/init/stage-name";
import { launch } from "../../src/linux/launch";
import { nameStep, processStatus, startTimeOf } from "../../src/linux/process";
import type { Step } from "../../src/linux/steps";

test("one that is killed while it waits has died before it could execute anything, and is reaped", async () => {
  const channels = new ExecChannels(false);
  const go = channels.go.read;
  const program: Step[] = [{ what: "wait", call: "read", args: [go.number, new Uint8Array(1), 1], least: 1 }];
  const plan = { cgroup: undefined, joiner: [nameStep(STAGE_NAME)], program, preserveFds: 0, keep: [go] };
  const pid = launch(plan, channels.reports);
  channels.handOver();
  using waiting = new ExecProcess(pid, startTimeOf(pid), channels, {} as ProgramOutside, program, false);
  process.kill(pid, "SIGKILL");
  while (processStatus(pid)?.state !== "Z") await Bun.sleep(1);
  expect(() => waiting.release(() => undefined)).toThrow(
    "the process died before it could execute the program",
  );
  expect(processStatus(pid)).toBeUndefined();
});
