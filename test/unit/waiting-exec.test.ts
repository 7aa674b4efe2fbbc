// A process that waits to execute its program, seen by its maker.

import { describe, expect, test } from "bun:test";
import { toldExec } from "../../src/drivers/interface/exec-told";
import { executedOutside, toldToBear } from "../../src/drivers/namespaces/birth/born-process";
import { STAGE_NAME } from "../../src/drivers/namespaces/birth/stage-name";
import { failureTold } from "../../src/drivers/namespaces/exec/exec-failure";
import type { ProgramOutside } from "../../src/drivers/namespaces/exec/program-outside";
import { WaitingExec } from "../../src/drivers/namespaces/exec/waiting-exec";
import { stringVector } from "../../src/linux/call/argument-memory";
import { O } from "../../src/linux/call/constants";
import type { Fd } from "../../src/linux/call/fd";
import type { Step } from "../../src/linux/call/step";
import { syscall } from "../../src/linux/call/syscall";
import { stepError } from "../../src/linux/call/walk";
import { openAt } from "../../src/linux/file/path";
import { writeAllWaiting } from "../../src/linux/file/stream";
import { socketPair } from "../../src/linux/file/unix-socket";
import { nameStep, processStatus, reapChild } from "../../src/linux/process/process";
import { stepName } from "../../src/linux/remote/failed-step";
import { RemoteProcess } from "../../src/linux/remote/remote-process";
import { SharedRange } from "../../src/linux/remote/shared-range";
import type { Process } from "../../src/oci/config";

const PROGRAM = { failure: stepError } as unknown as ProgramOutside;

/** A process beside this one that waits for a byte and makes these steps. */
function waitingFor(then: readonly Step[]): {
  waiting: WaitingExec;
  range: SharedRange;
  table: number;
  channel: Fd;
  steps: Step[];
} {
  const range = SharedRange.make();
  const [ours, theirs] = socketPair("socket to the process");
  using channel = theirs;
  const steps: Step[] = [
    { what: "wait", call: "read", args: [channel.number, new Uint8Array(1), 1], success: { atLeast: 1 } },
    { what: "close at execution", call: "fcntl", args: [channel.number, 2, 1] },
    ...then,
  ];
  const remote = new RemoteProcess(range);
  const first = [nameStep(STAGE_NAME)];
  remote.prepare(steps);
  toldToBear(remote, first);
  using image = range.program();
  const explainEnd = () => ({ why: undefined, hint: undefined });
  const joiner = executedOutside(
    { born: undefined, preserveFds: 0, keep: [channel], explainEnd },
    remote,
    image,
  );
  joiner.awaitChild(first);
  const waiting = new WaitingExec(
    joiner,
    { range, channel: ours },
    { program: PROGRAM, steps, filter: undefined },
  );
  return { waiting, range, table: joiner.remote.prepared, channel: ours, steps };
}

const execute = (path: string): Step => ({
  what: `execve ${path}`,
  call: "execve",
  args: [path, stringVector(["sleep", "0.1"]), stringVector([])],
});

async function endOf(pid: number): Promise<void> {
  while (processStatus(pid)?.state !== "Z") await Bun.sleep(1);
}

describe("a process that waits to execute its program", () => {
  test("one that is killed while it waits has died before it could execute anything, and is reaped", async () => {
    const { waiting } = waitingFor([]);
    using _ = waiting;
    const { pid } = waiting;
    process.kill(pid, "SIGKILL");
    await endOf(pid);
    expect(() => waiting.release(() => undefined)).toThrow(
      "the process died before it could execute the program",
    );
    expect(processStatus(pid)).toBeUndefined();
  });

  test("executes it, or says which step failed, and ends with its owner", async () => {
    const { waiting } = waitingFor([execute("/bin/sleep")]);
    waiting.release(() => undefined);
    expect(processStatus(waiting.pid)?.name).toBe("sleep");
    await endOf(waiting.pid);
    syscall("wait4", waiting.pid, null, 0, null);
    const { waiting: other } = waitingFor([execute("/no/such")]);
    expect(() => other.release(() => undefined)).toThrow("execve /no/such: no such file or directory");
    const { pid } = other;
    other[Symbol.dispose]();
    expect(processStatus(pid)).toBeUndefined();
  });

  test("a command that is started again tells the same from the memory", async () => {
    const { waiting, range, table, channel, steps } = waitingFor([execute("/no/such")]);
    const { pid } = waiting;
    writeAllWaiting(channel, new Uint8Array(1));
    await endOf(pid);
    using root = openAt(undefined, "/", O.PATH | O.DIRECTORY);
    const such: Process = { args: ["such"], cwd: "/", user: { uid: 0, gid: 0 }, env: ["PATH=/no"] };
    const told = { ...{ own: process.pid, pid, table, steps: steps.map(stepName) }, process: such };
    reapChild(pid, true);
    const container = {
      init: { pid: process.pid, startTime: 0 },
      rootfs: root,
      config: { ociVersion: "1.3.0" },
    };
    // nothing there is believed: whatever the number of the step, it is one of those that were told
    for (const [index, said] of [
      [2, 'exec: "such": executable file not found in $PATH'],
      [-1, "step -1"],
      [77, "step 77"],
    ] as const) {
      range.longWords[(table + 8) / 8] = BigInt(index);
      const again = { ...told, range: syscall("dup", range.file.number) };
      expect(failureTold({ told: again, digits: "aab" }, container).message).toContain(said);
    }
    // another process's line
    const line = `${JSON.stringify({ ...told, range: 3 })}kab`;
    expect(toldExec(line)?.digits).toBe("kab");
    expect(toldExec(line.replace(`"own":${process.pid}`, '"own":1'))).toBeUndefined();
    range[Symbol.dispose]();
    channel.close();
  });
});
